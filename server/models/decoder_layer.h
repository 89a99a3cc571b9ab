// SPDX-License-Identifier: Apache-2.0
// One layer of the decoder: attention and MLP, each added to the residual stream.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "server/models/attention.h"
#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"
#include "server/models/matrix.h"
#include "server/models/norms.h"
#include "server/models/numerics.h"
#include "server/models/packed_batch.h"
#include "server/models/packed_linear.h"
#include "server/models/rope.h"
#include "server/models/thread_pool.h"

namespace prefscore {

// The residual stream, fp32. [num_rows][hidden]
using Hidden = Matrix<float>;

// norm(x) as the input of a matrix product, or x itself where there is no norm.
GemmInput Normalize(const Norm& norm, const Hidden& x, Precision precision, const ThreadPool& pool);

// Immutable: thread-safe.
class DecoderLayer {
 public:
  DecoderLayer(const DecoderConfig& config, const LayerConfig& layer, const LayerWeightViews& weights,
               Precision precision, const ThreadPool& pool);

  // tables: one per rope variant of the batch; empty where the layer does not rotate.
  // head_rows_only: the result has the rows of batch.head_rows alone. Keys and values are still those of every row.
  Hidden Forward(const PackedBatch& batch, std::span<const RopeTable> tables, bool head_rows_only,
                 const ThreadPool& pool, Hidden hidden) const;

  // Every matrix that Forward multiplies with.
  std::vector<const PackedLinear*> linears() const;
  bool AttentionIsRowIndependent() const { return AttentionRowsAreIndependent(shape_); }

 private:
  void NormalizeAndRotate(const Norm& norm, std::int64_t num_heads, const RopeTable* table, std::int64_t position,
                          float* heads) const;
  GemmInput Mlp(const GemmInput& x, const ThreadPool& pool) const;
  void AddBranch(const PackedLinear& linear, const GemmInput& x, const Norm& norm, const ThreadPool& pool,
                 Hidden& hidden) const;

  Precision precision_;
  AttentionShape shape_;
  QueryKeyNorm query_key_norm_kind_;
  Activation activation_;
  Norm pre_attention_norm_, post_attention_norm_, pre_mlp_norm_, post_mlp_norm_, query_norm_, key_norm_;
  PackedLinear query_;             // [num_heads * head_dim][hidden]
  PackedLinear key_value_;         // [2 * num_kv_heads * head_dim][hidden]
  PackedLinear attention_output_;  // [hidden][num_heads * head_dim]
  std::optional<PackedLinear> gate_;
  PackedLinear up_;
  PackedLinear down_;
};

}  // namespace prefscore
