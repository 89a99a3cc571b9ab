// SPDX-License-Identifier: Apache-2.0
#include "server/models/decoder_layer.h"

#include <algorithm>
#include <utility>

#include "server/models/row_ops.h"

namespace prefscore {
namespace {

constexpr std::int64_t kRowsPerTask = 16;

// task(row) for every row, some rows at a time.
template <typename Task>
void ForEachRow(const ThreadPool& pool, std::int64_t num_rows, const Task& task) {
  pool.ParallelFor((num_rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t block) {
    const std::int64_t end = std::min(num_rows, (block + 1) * kRowsPerTask);
    for (std::int64_t row = block * kRowsPerTask; row < end; ++row) task(row);
  });
}

Hidden Gather(const Hidden& hidden, std::span<const std::int64_t> rows) {
  Hidden gathered(static_cast<std::int64_t>(rows.size()), hidden.num_columns());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(hidden.row(rows[i]), hidden.num_columns(), gathered.row(i));
  }
  return gathered;
}

void Activate(Activation activation, float* values, std::int64_t count) {
  const RowOps& ops = GetRowOps();
  switch (activation) {
    case Activation::kSilu:
      return ops.silu(values, count);
    case Activation::kGeluTanh:
      return ops.gelu_tanh(values, count);
    case Activation::kGeluErf:
      return ops.gelu_erf(values, count);
    case Activation::kRelu:
      return ops.relu(values, count);
  }
}

PackedLinear Pack(const LinearView& view, Precision precision, const ThreadPool& pool) {
  return PackedLinear(std::span(&view, 1), precision, pool);
}

}  // namespace

GemmInput Normalize(const Norm& norm, const Hidden& x, Precision precision, const ThreadPool& pool) {
  GemmInput normalized(precision, x.num_rows(), x.num_columns());
  ForEachRow(pool, x.num_rows(), [&](std::int64_t row) {
    if (!norm) return normalized.Store(row, 0, x.row(row), x.num_columns());
    Matrix<float> values(1, x.num_columns());
    norm.Apply(x.row(row), values.row(0));
    normalized.Store(row, 0, values.row(0), x.num_columns());
  });
  return normalized;
}

DecoderLayer::DecoderLayer(const DecoderConfig& config, const LayerConfig& layer, const LayerWeightViews& weights,
                           Precision precision, const ThreadPool& pool)
    : precision_(precision),
      shape_{.num_heads = config.num_heads,
             .num_kv_heads = config.num_kv_heads,
             .head_dim = config.head_dim,
             .scale = config.attention_scale,
             .softcap = config.attention_softcap,
             .sliding_window = layer.sliding_window},
      query_key_norm_kind_(config.query_key_norm),
      activation_(config.activation),
      pre_attention_norm_(config.norm, config.norm_epsilon, weights.pre_attention_norm, precision),
      post_attention_norm_(config.norm, config.norm_epsilon, weights.post_attention_norm, precision),
      pre_mlp_norm_(config.norm, config.norm_epsilon, weights.pre_mlp_norm, precision),
      post_mlp_norm_(config.norm, config.norm_epsilon, weights.post_mlp_norm, precision),
      query_norm_(config.norm, config.norm_epsilon, weights.query_norm, precision),
      key_norm_(config.norm, config.norm_epsilon, weights.key_norm, precision),
      query_(Pack(weights.query, precision, pool)),
      attention_output_(Pack(weights.attention_output, precision, pool)),
      up_(Pack(weights.up, precision, pool)),
      down_(Pack(weights.down, precision, pool)) {
  const LinearView key_value[] = {weights.key, weights.value};
  key_value_ = PackedLinear(key_value, precision, pool);
  if (config.gated_mlp) gate_ = Pack(weights.gate, precision, pool);
}

std::vector<const PackedLinear*> DecoderLayer::linears() const {
  std::vector<const PackedLinear*> linears = {&query_, &key_value_, &attention_output_, &up_, &down_};
  if (gate_) linears.push_back(&*gate_);
  return linears;
}

Hidden DecoderLayer::Forward(const PackedBatch& batch, std::span<const RopeTable> tables, bool head_rows_only,
                             const ThreadPool& pool, Hidden hidden) const {
  const std::span<const QueryRows> query_rows = head_rows_only ? batch.head_queries : batch.all_queries;
  const auto table_of = [&](const Segment& segment) {
    return tables.empty() ? nullptr : &tables[segment.rope_variant];
  };

  GemmInput x = Normalize(pre_attention_norm_, hidden, precision_, pool);
  Matrix<float> key_values(batch.num_rows(), key_value_.num_out());
  key_value_.Multiply(x, pool, key_values);
  const KeyValueBlocks blocks(
      shape_, batch, pool,
      [&](const Segment& segment, std::int64_t position, float* keys) {
        NormalizeAndRotate(key_norm_, shape_.num_kv_heads, table_of(segment), position, keys);
      },
      key_values);

  if (head_rows_only) {
    x = x.Gather(batch.head_rows);
    hidden = Gather(hidden, batch.head_rows);
  }
  Matrix<float> queries(x.num_rows() + kQuerySlack, query_.num_out());
  query_.Multiply(x, pool, queries);
  GemmInput attended(precision_, x.num_rows(), query_.num_out());
  Attend(
      shape_, batch, query_rows,
      [&](const Segment& segment, std::int64_t position, float* heads) {
        NormalizeAndRotate(query_norm_, shape_.num_heads, table_of(segment), position, heads);
      },
      blocks, pool, queries, attended);
  AddBranch(attention_output_, attended, post_attention_norm_, pool, hidden);

  const GemmInput activated = Mlp(Normalize(pre_mlp_norm_, hidden, precision_, pool), pool);
  AddBranch(down_, activated, post_mlp_norm_, pool, hidden);
  return hidden;
}

// Normalises and rotates the query or key heads of one row.
void DecoderLayer::NormalizeAndRotate(const Norm& norm, std::int64_t num_heads, const RopeTable* table,
                                      std::int64_t position, float* heads) const {
  if (query_key_norm_kind_ == QueryKeyNorm::kWholeProjection) norm.Apply(heads, heads);
  for (std::int64_t i = 0; i < num_heads; ++i) {
    float* head = heads + i * shape_.head_dim;
    if (query_key_norm_kind_ == QueryKeyNorm::kPerHead) norm.Apply(head, head);
    if (table) table->Rotate(position, head);
  }
}

// The activated hidden units, which the down projection takes.
GemmInput DecoderLayer::Mlp(const GemmInput& x, const ThreadPool& pool) const {
  constexpr std::int64_t kColumns = PackedLinear::kPanelColumns;
  GemmInput activated(precision_, x.num_rows(), up_.num_out());
  ForEachTile(pool, x.num_rows(), up_.num_panels(), [&](RowRange rows, std::int64_t panel) {
    float up[PackedLinear::kTileRows][kColumns];
    float gate[PackedLinear::kTileRows][kColumns];
    const std::int64_t count = up_.panel_columns(panel);
    up_.MultiplyTile(x, rows.first, rows.count, panel, up[0], kColumns);
    if (gate_) gate_->MultiplyTile(x, rows.first, rows.count, panel, gate[0], kColumns);
    for (std::int64_t i = 0; i < rows.count; ++i) {
      Activate(activation_, gate_ ? gate[i] : up[i], count);
      if (gate_) GetRowOps().multiply(gate[i], count, up[i]);
      activated.Store(rows.first + i, panel * kColumns, up[i], count);
    }
  });
  return activated;
}

// hidden += norm(linear(x))
void DecoderLayer::AddBranch(const PackedLinear& linear, const GemmInput& x, const Norm& norm, const ThreadPool& pool,
                             Hidden& hidden) const {
  Matrix<float> branch(x.num_rows(), linear.num_out());
  linear.Multiply(x, pool, branch);
  ForEachRow(pool, x.num_rows(), [&](std::int64_t row) {
    if (norm) norm.Apply(branch.row(row), branch.row(row));
    GetRowOps().add(branch.row(row), hidden.num_columns(), hidden.row(row));
  });
}

}  // namespace prefscore
