// SPDX-License-Identifier: Apache-2.0
// Every operation of a forward pass on a device that is no matrix product, declared once. It exists twice: as a CUDA
// launcher (namespace cuda; plain CUDA, without ATen) and as a plain loop for the CPU (namespace host), which is what
// the kernel is tested against and what runs the device path where no GPU is.
//
// Common to all:
// * Pointers are device memory in namespace cuda, owned by the caller, valid until the stream has passed the operation.
//   Outputs do not overlap inputs unless said. No operation allocates, synchronises or reads from the host.
// * `ElementType` is the type of matrix products' inputs ("elements"); arithmetic inside is fp32, rounded once, to
//   nearest even, where an element is written. Residual stream, norm weights, biases and logits are fp32.
// * A matrix is row-major; `stride` is the distance of its rows in values. Base pointers of whole buffers are 256-byte
//   aligned, but widths and strides may be odd: 16-byte accesses need a check.
// * A row's result depends on that row alone, never on the number of rows or the grid. NaN in, NaN out, in that row.
// * Zero rows are allowed and do nothing. Row counts may exceed 65535 and rows * width may exceed 2^31.
// * Indices are not checked: the packing on the host makes them (models/device/device_batch.h).
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t is CUstream_st*

namespace prefscore::kernels {

enum class ElementType : int { kFloat32, kBfloat16 };

constexpr std::int64_t SizeOf(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

enum class Activation : int { kSilu, kGeluTanh, kGeluErf, kRelu };

// RMSNorm: x / sqrt(mean(x^2) + epsilon) * weight. LayerNorm (subtract_mean): x - mean(x) in place of x, the variance
// taken of it in a second pass, then + bias. A "1 + w" norm has the 1 added when its weights are loaded.
struct Norm {
  const float* weight = nullptr;  // [width]; null: no norm here, the value passes unchanged
  const float* bias = nullptr;    // [width] or null
  float epsilon = 0.0f;
  bool subtract_mean = false;
};

// hidden[row] = round(token_embedding[tokens[row]]) * scale (+ position_embedding[positions[row]]), in fp32.
struct EmbedArgs {
  ElementType type = ElementType::kFloat32;  // of the embeddings
  const std::int32_t* tokens = nullptr;      // [num_rows]
  const std::int32_t* positions = nullptr;   // [num_rows]
  const void* token_embedding = nullptr;     // elements [vocab][width]
  const void* position_embedding = nullptr;  // elements [positions][width] or null
  float scale = 1.0f;                        // already rounded to the element type
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  float* hidden = nullptr;  // [num_rows][width]
};

// The seam between two branches of the decoder, whatever the norms' placement:
//   hidden += branch_norm(branch + branch_bias)      where there is a branch
//   normalized = round(next_norm(hidden))
// Rows wider than kMaxRowWidth (row_lanes.h) are refused: the launch fails.
struct ResidualNormArgs {
  ElementType type = ElementType::kFloat32;  // of `normalized`
  float* hidden = nullptr;                   // [num_rows][width], updated in place
  const float* branch = nullptr;             // [num_rows][width]; null: hidden stays as it is
  const float* branch_bias = nullptr;        // [width] or null
  Norm branch_norm;
  Norm next_norm;
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  void* normalized = nullptr;  // elements [num_rows][width]
};

// out[i] = source[rows[i]], bytes as they are.
struct GatherRowsArgs {
  const void* source = nullptr;        // rows of row_bytes
  const std::int32_t* rows = nullptr;  // [num_rows]
  std::int64_t num_rows = 0;
  std::int64_t row_bytes = 0;
  void* out = nullptr;
};

// Takes heads out of a projection, adds the bias, normalises (each head, or all heads of the row as one vector),
// rotates the first 2 * half values of every head by its position, and writes them where attention reads them. Queries
// are written once each; a prompt's keys and values once for every segment that sees them: the destination row names
// its source, so every row has one writer.
struct PrepareHeadsArgs {
  ElementType type = ElementType::kFloat32;     // of projection and out
  const void* projection = nullptr;             // elements, rows `stride` apart; begins at the first head's column
  std::int64_t stride = 0;
  const std::int32_t* source_rows = nullptr;    // [num_rows]: row of the projection; null: row i is i
  const std::int32_t* rope_rows = nullptr;      // [num_rows]: row of the tables
  std::int64_t num_rows = 0;                    // rows of `out`
  std::int64_t num_heads = 0;
  std::int64_t head_dim = 0;
  const float* bias = nullptr;                  // [num_heads * head_dim] or null
  Norm norm;                                    // width head_dim, or num_heads * head_dim if norm_whole_row
  bool norm_whole_row = false;
  const float* cosines = nullptr;               // [table rows][half]; null: no rotation
  const float* sines = nullptr;                 // [table rows][half]
  std::int64_t half = 0;                        // pairs (x[i], x[half + i]) that rotate
  void* out = nullptr;                          // elements [num_rows][num_heads * head_dim]
};

// out = activation(gate + gate_bias) * (up + up_bias), or activation(up + up_bias) where gate is null.
struct ActivateArgs {
  ElementType type = ElementType::kFloat32;
  Activation activation = Activation::kSilu;
  const void* gate = nullptr;  // elements, rows `stride` apart; null: not gated
  const void* up = nullptr;    // elements, rows `stride` apart
  std::int64_t stride = 0;
  const float* gate_bias = nullptr;  // [width] or null
  const float* up_bias = nullptr;    // [width] or null
  std::int64_t num_rows = 0;
  std::int64_t width = 0;
  void* out = nullptr;  // elements [num_rows][width]
};

// Attention of segments, each its own sequence of queries over its own keys, causal from the bottom right: query i of a
// segment with q queries and k keys sees keys [max(0, i + k - q - window + 1), i + k - q]. Scores, softmax and sums in
// fp32, keys in ascending order. query head h reads key head h / (num_heads / num_kv_heads).
// Heads larger than kMaxHeadDim (row_lanes.h) are refused: the launch fails.
struct SegmentAttentionArgs {
  ElementType type = ElementType::kFloat32;
  const void* queries = nullptr;                // elements [query rows][num_heads * head_dim]
  const void* keys = nullptr;                   // elements [key rows][num_kv_heads * head_dim]
  const void* values = nullptr;                 // elements [key rows][num_kv_heads * head_dim]
  const std::int32_t* first_queries = nullptr;  // [num_segments + 1]: segment s has rows [s], [s + 1)
  const std::int32_t* first_keys = nullptr;     // [num_segments + 1]
  std::int64_t num_segments = 0;
  std::int64_t num_queries = 0;  // of all segments
  std::int64_t num_keys = 0;
  std::int64_t max_queries = 0;  // of a segment, or more: the grid covers it
  std::int64_t max_keys = 0;     // of a segment, or more
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  float scale = 1.0f;
  float softcap = 0.0f;      // c * tanh(score / c) after the scale, before the mask; 0: none
  std::int64_t window = 0;   // 0: all
  void* out = nullptr;       // elements [query rows][num_heads * head_dim]
};

// Of some columns of a row of logits, in the order of columns: sum * exp(maximum) is the sum of their exponentials.
struct PartialSum {
  double sum = 0.0;
  float maximum = 0.0f;
  std::int32_t argmax = -1;  // the lowest vocabulary index whose logit is the maximum; -1: none is above -infinity
};

// What a row of logits says of one token.
struct TargetScore {
  double log_prob = 0.0;   // nats
  bool is_argmax = false;  // its logit is the row's largest, and no lower vocabulary index has the same
};

// Takes one tile of logits, num_columns of the vocabulary for all rows, into partial sums and targets' logits. Tiles
// come in ascending order; which columns a tile has depends on the vocabulary alone. Columns beyond num_columns (the
// vocabulary's padding) are not read.
struct HeadTileArgs {
  const float* logits = nullptr;  // [num_rows][stride]
  std::int64_t stride = 0;
  std::int64_t num_rows = 0;
  std::int64_t num_columns = 0;
  std::int64_t first_column = 0;  // vocabulary index of column 0; 0: starts from -infinity and 0
  float softcap = 0.0f;           // c * tanh(logit / c); 0: none
  PartialSum* sums = nullptr;     // [num_rows], updated
  // A row may have several targets. Of those whose token lies in this tile, the capped logit is written.
  const std::int32_t* target_rows = nullptr;    // [num_targets]: row of `logits`
  const std::int32_t* target_tokens = nullptr;  // [num_targets]: vocabulary index
  std::int64_t num_targets = 0;
  float* target_logits = nullptr;  // [num_targets]
};

// log_prob of t = target_logits[t] - (maximum + log(sum)) of target_rows[t], in double.
struct FinishTargetsArgs {
  const PartialSum* sums = nullptr;
  const float* target_logits = nullptr;         // [num_targets]
  const std::int32_t* target_rows = nullptr;    // [num_targets]
  const std::int32_t* target_tokens = nullptr;  // [num_targets]
  std::int64_t num_targets = 0;
  TargetScore* scores = nullptr;  // [num_targets]
};

// out = round(source), values cast between the types and transposed where strides ask for it: weights at load.
struct CastMatrixArgs {
  enum class Source : int { kFloat32, kBfloat16, kFloat16 };
  Source source_type = Source::kFloat32;
  const void* source = nullptr;  // any alignment of its own type
  std::int64_t row_stride = 0;   // values
  std::int64_t column_stride = 1;
  std::int64_t num_rows = 0;
  std::int64_t num_columns = 0;
  ElementType type = ElementType::kFloat32;  // of out
  void* out = nullptr;                       // elements, rows out_stride apart
  std::int64_t out_stride = 0;
};

}  // namespace prefscore::kernels

// PREFSCORE_KERNELS(DECLARE): one DECLARE(Name) for each operation above.
#define PREFSCORE_KERNELS(DECLARE) \
  DECLARE(Embed)                   \
  DECLARE(ResidualNorm)            \
  DECLARE(GatherRows)              \
  DECLARE(PrepareHeads)            \
  DECLARE(Activate)                \
  DECLARE(SegmentAttention)        \
  DECLARE(HeadTile)                \
  DECLARE(FinishTargets)           \
  DECLARE(CastMatrix)

#define PREFSCORE_DECLARE_KERNEL(Name) void Name(const kernels::Name##Args& args);
namespace prefscore::host {
PREFSCORE_KERNELS(PREFSCORE_DECLARE_KERNEL)
}  // namespace prefscore::host
#undef PREFSCORE_DECLARE_KERNEL

// A launch that fails shows in cudaGetLastError, which the caller asks after each.
#define PREFSCORE_DECLARE_KERNEL(Name) void Name(const kernels::Name##Args& args, CUstream_st* stream);
namespace prefscore::cuda {
PREFSCORE_KERNELS(PREFSCORE_DECLARE_KERNEL)
}  // namespace prefscore::cuda
#undef PREFSCORE_DECLARE_KERNEL
