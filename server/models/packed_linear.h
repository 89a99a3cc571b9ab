// SPDX-License-Identifier: Apache-2.0
// Matrix products: weights repacked once for ATen's small-block GEMM kernels (brgemm), and their inputs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "server/models/decoder_weights.h"
#include "server/models/matrix.h"
#include "server/models/numerics.h"
#include "server/models/thread_pool.h"

namespace prefscore {

// The left side of a matrix product, in the precision's type.
class GemmInput {
 public:
  GemmInput(Precision precision, std::int64_t num_rows, std::int64_t num_columns);

  // Writes values[0 .. count) to a row from first_column on, rounded where the precision asks for it.
  void Store(std::int64_t row, std::int64_t first_column, const float* values, std::int64_t count);
  // The rows of that index, in that order.
  GemmInput Gather(std::span<const std::int64_t> rows) const;

  std::int64_t num_rows() const { return num_rows_; }

 private:
  friend class PackedLinear;

  Precision precision_;
  std::int64_t num_rows_;
  std::int64_t num_columns_;
  Matrix<float> float32_;           // one of the two is filled
  Matrix<std::uint16_t> bfloat16_;  // its stride is even; a column beyond num_columns is 0
};

// y = x W^T + b, with the bits of a row of y depending on that row of x alone. Immutable: thread-safe.
class PackedLinear {
 public:
  // Output columns are computed in panels of this many.
  static constexpr std::int64_t kPanelColumns = 64;
  // Rows that a tile may have.
  static constexpr std::int64_t kTileRows = 64;

  PackedLinear() = default;
  // Copies the weights; several views are joined along their outputs. REQUIRES: one num_in for all.
  PackedLinear(std::span<const LinearView> views, Precision precision, const ThreadPool& pool);

  // Writes the weights of one output [num_in], as they are in the precision.
  void ReadRow(std::int64_t out_index, float* values) const;

  std::int64_t num_in() const { return num_in_; }
  std::int64_t num_out() const { return num_out_; }
  bool has_bias() const { return !bias_.empty(); }
  std::int64_t num_panels() const { return (num_out_ + kPanelColumns - 1) / kPanelColumns; }
  std::int64_t panel_columns(std::int64_t panel) const;

  // out has at least x.num_rows() rows.
  void Multiply(const GemmInput& x, const ThreadPool& pool, Matrix<float>& out) const;
  // Rows [first_row, first_row + num_rows) of x times one panel. out: [num_rows][panel_columns(panel)], rows out_stride
  // apart. REQUIRES: num_rows <= kTileRows.
  void MultiplyTile(const GemmInput& x, std::int64_t first_row, std::int64_t num_rows, std::int64_t panel, float* out,
                    std::int64_t out_stride) const;

 private:
  void PackPanel(std::span<const LinearView> views, std::int64_t panel);

  Precision precision_ = Precision::kFloat32;
  std::int64_t num_in_ = 0;
  std::int64_t num_out_ = 0;
  // A row is a panel: fp32 [num_in][64], bf16 [num_in / 2][64][2] with a zero for an odd num_in.
  Matrix<float> float32_;
  Matrix<std::uint16_t> bfloat16_;
  std::vector<float> bias_;  // [num_out], or empty
};

// Runs one small product. Throws where the kernels cannot compute in this precision, whatever the CPU claims to have:
// ONEDNN_MAX_CPU_ISA, for one, takes instructions away.
void ProbeGemm(Precision precision);

struct RowRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// Cuts rows into blocks of nearly equal size, none above PackedLinear::kTileRows and all but the last a multiple of 16,
// which the kernels compute at a time.
RowRange RowBlock(std::int64_t num_rows, std::int64_t num_blocks, std::int64_t block);
std::int64_t NumRowBlocks(std::int64_t num_rows);

// Runs task(rows, panel) for every tile; tiles of one panel follow each other, so that its weights stay in cache.
void ForEachTile(const ThreadPool& pool, std::int64_t num_rows, std::int64_t num_panels,
                 const std::function<void(RowRange rows, std::int64_t panel)>& task);

}  // namespace prefscore
