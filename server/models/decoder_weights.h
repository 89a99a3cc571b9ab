// SPDX-License-Identifier: Apache-2.0
// The decoder's weights as views into memory-mapped checkpoint files, named by role. Which tensor of a checkpoint fills
// which role is decided in hf_weights.h. Views are valid as long as the Checkpoint that they came from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace prefscore {

enum class DType { kFloat32, kBfloat16, kFloat16 };

// A matrix in a mapped file, as [out][in] with strides in elements: a row range of a fused tensor and a transposed
// (GPT-2 Conv1D) one look alike. A vector is [1][n]. The address may be unaligned.
struct WeightView {
  const std::byte* data = nullptr;  // null: the model has no such weight
  DType dtype = DType::kFloat32;
  std::int64_t num_out = 0;
  std::int64_t num_in = 0;
  std::int64_t out_stride = 0;
  std::int64_t in_stride = 1;

  explicit operator bool() const { return data != nullptr; }
};

struct LinearView {
  WeightView weight;  // [out][in]
  WeightView bias;    // [1][out], may be null
};

struct NormView {
  WeightView weight;  // [1][width]
  WeightView bias;    // [1][width], LayerNorm only
};

struct LayerWeightViews {
  NormView pre_attention_norm;   // NormPlacement kPre, kSandwich
  NormView post_attention_norm;  // kPost, kSandwich: applied to the attention's output
  NormView pre_mlp_norm;         // kPre, kSandwich
  NormView post_mlp_norm;        // kPost, kSandwich
  LinearView query;              // [num_heads * head_dim][hidden]
  LinearView key;                // [num_kv_heads * head_dim][hidden]
  LinearView value;              // [num_kv_heads * head_dim][hidden]
  LinearView attention_output;   // [hidden][num_heads * head_dim]
  NormView query_norm;
  NormView key_norm;
  LinearView gate;  // [intermediate][hidden], gated_mlp only
  LinearView up;    // [intermediate][hidden]
  LinearView down;  // [hidden][intermediate]
};

struct DecoderWeightViews {
  WeightView token_embedding;     // [vocab][hidden]
  WeightView position_embedding;  // [positions][hidden], learned_positions only
  std::vector<LayerWeightViews> layers;
  NormView final_norm;
  LinearView head;  // [vocab][hidden]; the token embedding where tied
};

}  // namespace prefscore
