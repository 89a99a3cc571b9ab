// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device_forward.h"

#include <algorithm>
#include <bit>

#include "server/models/numerics.h"
#include "server/models/weight_reader.h"

namespace prefscore {
namespace {

using kernels::ElementType;

kernels::Activation ActivationOf(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return kernels::Activation::kSilu;
    case Activation::kGeluTanh:
      return kernels::Activation::kGeluTanh;
    case Activation::kGeluErf:
      return kernels::Activation::kGeluErf;
    case Activation::kRelu:
      return kernels::Activation::kRelu;
  }
  return kernels::Activation::kSilu;
}

const float* Offset(const float* values, std::int64_t count) { return values == nullptr ? nullptr : values + count; }

}  // namespace

// The state of one pass: where rows are, and scratch that all layers share.
class DeviceForward::Pass {
 public:
  Pass(const DeviceForward& forward, const DeviceBatch& batch, const std::int32_t* block,
       const DeviceRopeTables& ropes)
      : device_(forward.device_),
        config_(forward.config_),
        weights_(forward.weights_),
        element_(forward.element_),
        batch_(batch),
        block_(block),
        ropes_(ropes),
        num_rows_(batch.num_rows),
        query_width_(config_.num_heads * config_.head_dim),
        key_width_(config_.num_kv_heads * config_.head_dim),
        matmul_rows_(std::min(forward.tiles_.max_matmul_rows, batch.num_rows)) {
    std::int64_t max_keys = 0;
    for (const AttentionChunk& chunk : batch.attention_chunks) max_keys = std::max(max_keys, chunk.num_keys);
    hidden_ = Allocate(num_rows_ * config_.hidden_size, ElementType::kFloat32);
    normalized_ = Allocate(num_rows_ * config_.hidden_size, element_);
    branch_ = Allocate(num_rows_ * config_.hidden_size, ElementType::kFloat32);
    projected_ = Allocate(num_rows_ * (query_width_ + 2 * key_width_), element_);
    queries_ = Allocate(num_rows_ * query_width_, element_);
    keys_ = Allocate(max_keys * key_width_, element_);
    values_ = Allocate(max_keys * key_width_, element_);
    attended_ = Allocate(num_rows_ * query_width_, element_);
    gate_up_ = Allocate(matmul_rows_ * weights_.layers.front().gate_up.num_out, element_);
    activated_ = Allocate(matmul_rows_ * config_.intermediate_size, element_);
  }

  void Embed() {
    const Precision precision = element_ == ElementType::kFloat32 ? Precision::kFloat32 : Precision::kBfloat16;
    device_.Embed({.type = element_,
                   .tokens = block_ + batch_.tokens,
                   .positions = block_ + batch_.positions,
                   .token_embedding = weights_.token_embedding.data(),
                   .position_embedding = weights_.position_embedding.data(),
                   .scale = RoundTo(precision, static_cast<float>(config_.embedding_scale)),
                   .num_rows = num_rows_,
                   .width = config_.hidden_size,
                   .hidden = hidden_.data<float>()});
    AddAndNormalize(nullptr, {}, {}, weights_.layers.front().pre_attention_norm);
  }

  // Keys and values of every row, and of the rows that the head reads what it reads.
  void Layer(std::size_t index) {
    const bool is_last = index + 1 == weights_.layers.size();
    const DeviceLayerWeights& layer = weights_.layers[index];
    const DeviceLinear& projection = layer.query_key_value;
    const std::int64_t row_bytes = config_.hidden_size * kernels::SizeOf(element_);
    DeviceBuffer last_queries;
    const void* queries = projected_.data();
    const void* key_values = projected_.at(query_width_ * kernels::SizeOf(element_));
    std::int64_t query_stride = projection.num_out;
    std::int64_t key_value_stride = projection.num_out;
    if (is_last) {
      query_stride = query_width_;
      key_value_stride = 2 * key_width_;
      key_values = projected_.data();
      MatMul(normalized_.data(), projection.weight.at(query_width_ * row_bytes), projection.num_in, key_value_stride,
             element_, projected_.data());
      KeepHeadRows();
      last_queries = Allocate(num_rows_ * query_stride, element_);
      queries = last_queries.data();
      MatMul(normalized_.data(), projection.weight.data(), projection.num_in, query_stride, element_,
             last_queries.data());
    } else {
      MatMul(normalized_.data(), projection.weight.data(), projection.num_in, projection.num_out, element_,
             projected_.data());
    }
    PrepareQueries(index, queries, query_stride);
    for (const AttentionChunk& chunk : batch_.attention_chunks) {
      PrepareKeysAndValues(index, chunk, key_values, key_value_stride);
      Attend(index, chunk, is_last ? chunk.head_queries : chunk.all_queries);
    }
    MatMul(attended_.data(), layer.attention_output.weight.data(), query_width_, config_.hidden_size,
           ElementType::kFloat32, branch_.data());
    AddAndNormalize(branch_.data<float>(), layer.attention_output.bias, layer.post_attention_norm, layer.pre_mlp_norm);
    Mlp(layer);
    AddAndNormalize(branch_.data<float>(), layer.down.bias, layer.post_mlp_norm,
                    is_last ? weights_.final_norm : weights_.layers[index + 1].pre_attention_norm);
  }

  void Head(kernels::TargetScore* scores) {
    std::int64_t max_rows = 0;
    for (const HeadChunk& chunk : batch_.head_chunks) max_rows = std::max(max_rows, chunk.num_rows);
    const std::int64_t tile = std::min(kHeadTileColumns, weights_.padded_vocab_size);
    const DeviceBuffer logits = Allocate(max_rows * tile, ElementType::kFloat32);
    const DeviceBuffer target_logits = Allocate(batch_.num_targets, ElementType::kFloat32);
    const DeviceBuffer sums(device_, DeviceBuffer::Kind::kDevice, max_rows * sizeof(kernels::PartialSum));
    const std::int64_t row_bytes = config_.hidden_size * kernels::SizeOf(element_);
    for (const HeadChunk& chunk : batch_.head_chunks) {
      const std::int32_t* target_rows = block_ + batch_.target_rows + chunk.first_target;
      const std::int32_t* target_tokens = block_ + batch_.target_tokens + chunk.first_target;
      float* chunk_target_logits = target_logits.data<float>() + chunk.first_target;
      for (std::int64_t column = 0; column < config_.vocab_size; column += tile) {
        const std::int64_t num_columns = std::min(tile, weights_.padded_vocab_size - column);
        device_.MatMul({.type = element_,
                        .x = normalized_.at(chunk.first_row * row_bytes),
                        .weight = static_cast<const std::byte*>(weights_.head_weight()) + column * row_bytes,
                        .num_rows = chunk.num_rows,
                        .num_in = config_.hidden_size,
                        .num_out = num_columns,
                        .out_type = ElementType::kFloat32,
                        .out = logits.data()});
        device_.HeadTile({.logits = logits.data<float>(),
                          .stride = num_columns,
                          .num_rows = chunk.num_rows,
                          .num_columns = std::min(num_columns, config_.vocab_size - column),
                          .first_column = column,
                          .softcap = static_cast<float>(config_.logit_softcap),
                          .sums = sums.data<kernels::PartialSum>(),
                          .target_rows = target_rows,
                          .target_tokens = target_tokens,
                          .num_targets = chunk.num_targets,
                          .target_logits = chunk_target_logits});
      }
      device_.FinishTargets({.sums = sums.data<kernels::PartialSum>(),
                             .target_logits = chunk_target_logits,
                             .target_rows = target_rows,
                             .target_tokens = target_tokens,
                             .num_targets = chunk.num_targets,
                             .scores = scores + chunk.first_target});
    }
  }

 private:
  // Sizes come in steps of a quarter of a power of two, so that batches of nearly one size find the memory that the
  // device's allocator has kept of the last.
  DeviceBuffer Allocate(std::int64_t count, ElementType type) const {
    const auto num_bytes = static_cast<std::size_t>(count * kernels::SizeOf(type));
    const std::size_t step = std::max<std::size_t>(std::bit_floor(num_bytes) / 4, 1);
    return {device_, DeviceBuffer::Kind::kDevice, (num_bytes + step - 1) / step * step};
  }

  // All rows of x.
  void MatMul(const void* x, const void* weight, std::int64_t num_in, std::int64_t num_out, ElementType out_type,
              void* out) {
    for (std::int64_t first = 0; first < num_rows_; first += matmul_rows_) {
      device_.MatMul({.type = element_,
                      .x = static_cast<const std::byte*>(x) + first * num_in * kernels::SizeOf(element_),
                      .weight = weight,
                      .num_rows = std::min(matmul_rows_, num_rows_ - first),
                      .num_in = num_in,
                      .num_out = num_out,
                      .out_type = out_type,
                      .out = static_cast<std::byte*>(out) + first * num_out * kernels::SizeOf(out_type)});
    }
  }

  // hidden += branch_norm(branch + bias); normalized = next_norm(hidden)
  void AddAndNormalize(const float* branch, const DeviceBuffer& bias, const DeviceNorm& branch_norm,
                       const DeviceNorm& next_norm) {
    device_.ResidualNorm({.type = element_,
                          .hidden = hidden_.data<float>(),
                          .branch = branch,
                          .branch_bias = bias.data<const float>(),
                          .branch_norm = branch_norm.view(),
                          .next_norm = next_norm.view(),
                          .num_rows = num_rows_,
                          .width = config_.hidden_size,
                          .normalized = normalized_.data()});
  }

  // From here on the rows of hidden and normalized are those that the head reads.
  void KeepHeadRows() {
    const auto keep = [&](DeviceBuffer& rows, ElementType type) {
      DeviceBuffer kept = Allocate(batch_.num_head_rows * config_.hidden_size, type);
      device_.GatherRows({.source = rows.data(),
                          .rows = block_ + batch_.head_rows,
                          .num_rows = batch_.num_head_rows,
                          .row_bytes = config_.hidden_size * kernels::SizeOf(type),
                          .out = kept.data()});
      rows = std::move(kept);
    };
    keep(hidden_, ElementType::kFloat32);
    keep(normalized_, element_);
    num_rows_ = batch_.num_head_rows;
  }

  // What all heads of a layer share; cosines stay null where it does not rotate.
  kernels::PrepareHeadsArgs HeadsOf(std::size_t index, std::int64_t num_heads, const DeviceNorm& norm) const {
    kernels::PrepareHeadsArgs args;
    args.type = element_;
    args.num_heads = num_heads;
    args.head_dim = config_.head_dim;
    args.norm = norm.view();
    args.norm_whole_row = config_.query_key_norm == QueryKeyNorm::kWholeProjection;
    if (const int rope = config_.layers[index].rope; rope >= 0) {
      args.cosines = ropes_.ropes[rope].cosines.data<const float>();
      args.sines = ropes_.ropes[rope].sines.data<const float>();
      args.half = ropes_.ropes[rope].half;
    }
    return args;
  }

  void PrepareQueries(std::size_t index, const void* projection, std::int64_t stride) {
    const bool is_last = index + 1 == weights_.layers.size();
    kernels::PrepareHeadsArgs args = HeadsOf(index, config_.num_heads, weights_.layers[index].query_norm);
    args.projection = projection;
    args.stride = stride;
    args.rope_rows = block_ + (is_last ? batch_.head_rope_rows : batch_.rope_rows);
    args.num_rows = num_rows_;
    args.bias = weights_.layers[index].query_key_value.bias.data<const float>();
    args.out = queries_.data();
    device_.PrepareHeads(args);
  }

  void PrepareKeysAndValues(std::size_t index, const AttentionChunk& chunk, const void* projection,
                            std::int64_t stride) {
    const DeviceLayerWeights& layer = weights_.layers[index];
    const float* bias = layer.query_key_value.bias.data<const float>();
    kernels::PrepareHeadsArgs keys = HeadsOf(index, config_.num_kv_heads, layer.key_norm);
    keys.projection = projection;
    keys.stride = stride;
    keys.source_rows = block_ + chunk.key_sources;
    keys.rope_rows = block_ + chunk.key_rope_rows;
    keys.num_rows = chunk.num_keys;
    keys.bias = Offset(bias, query_width_);
    keys.out = keys_.data();
    device_.PrepareHeads(keys);

    kernels::PrepareHeadsArgs values = keys;
    values.projection = static_cast<const std::byte*>(projection) + key_width_ * kernels::SizeOf(element_);
    values.bias = Offset(bias, query_width_ + key_width_);
    values.norm = {};
    values.cosines = values.sines = nullptr;
    values.half = 0;
    values.out = values_.data();
    device_.PrepareHeads(values);
  }

  void Attend(std::size_t index, const AttentionChunk& chunk, const ChunkQueries& queries) {
    const std::int64_t offset = queries.first_row * query_width_ * kernels::SizeOf(element_);
    device_.SegmentAttention({.type = element_,
                              .queries = queries_.at(offset),
                              .keys = keys_.data(),
                              .values = values_.data(),
                              .first_queries = block_ + queries.first_queries,
                              .first_keys = block_ + chunk.first_keys,
                              .num_segments = chunk.num_segments,
                              .num_queries = queries.num_rows,
                              .num_keys = chunk.num_keys,
                              .max_queries = queries.max_rows,
                              .max_keys = chunk.max_keys,
                              .num_heads = config_.num_heads,
                              .num_kv_heads = config_.num_kv_heads,
                              .head_dim = config_.head_dim,
                              .scale = static_cast<float>(config_.attention_scale),
                              .softcap = static_cast<float>(config_.attention_softcap),
                              .window = config_.layers[index].sliding_window,
                              .out = attended_.at(offset)});
  }

  // normalized -> branch
  void Mlp(const DeviceLayerWeights& layer) {
    const std::int64_t width = config_.intermediate_size;
    const float* bias = layer.gate_up.bias.data<const float>();
    for (std::int64_t first = 0; first < num_rows_; first += matmul_rows_) {
      const std::int64_t count = std::min(matmul_rows_, num_rows_ - first);
      device_.MatMul({.type = element_,
                      .x = normalized_.at(first * config_.hidden_size * kernels::SizeOf(element_)),
                      .weight = layer.gate_up.weight.data(),
                      .num_rows = count,
                      .num_in = config_.hidden_size,
                      .num_out = layer.gate_up.num_out,
                      .out_type = element_,
                      .out = gate_up_.data()});
      device_.Activate({.type = element_,
                        .activation = ActivationOf(config_.activation),
                        .gate = config_.gated_mlp ? gate_up_.data() : nullptr,
                        .up = config_.gated_mlp ? gate_up_.at(width * kernels::SizeOf(element_)) : gate_up_.data(),
                        .stride = layer.gate_up.num_out,
                        .gate_bias = config_.gated_mlp ? bias : nullptr,
                        .up_bias = config_.gated_mlp ? Offset(bias, width) : bias,
                        .num_rows = count,
                        .width = width,
                        .out = activated_.data()});
      device_.MatMul({.type = element_,
                      .x = activated_.data(),
                      .weight = layer.down.weight.data(),
                      .num_rows = count,
                      .num_in = width,
                      .num_out = config_.hidden_size,
                      .out_type = ElementType::kFloat32,
                      .out = branch_.data<float>() + first * config_.hidden_size});
    }
  }

  Device& device_;
  const DecoderConfig& config_;
  const DeviceWeights& weights_;
  const ElementType element_;
  const DeviceBatch& batch_;
  const std::int32_t* block_;
  const DeviceRopeTables& ropes_;
  std::int64_t num_rows_;  // of hidden, normalized, branch
  const std::int64_t query_width_;
  const std::int64_t key_width_;
  const std::int64_t matmul_rows_;

  DeviceBuffer hidden_;      // fp32 [num_rows][hidden], the residual stream
  DeviceBuffer normalized_;  // [num_rows][hidden], what the next matrix product reads
  DeviceBuffer branch_;      // fp32 [num_rows][hidden], what attention or MLP adds
  DeviceBuffer projected_;   // [num_rows][query | key | value]; in the last layer [num_rows][key | value]
  DeviceBuffer queries_;     // [num_rows][num_heads * head_dim]
  DeviceBuffer keys_;        // [keys of a chunk][num_kv_heads * head_dim]
  DeviceBuffer values_;
  DeviceBuffer attended_;   // [num_rows][num_heads * head_dim]
  DeviceBuffer gate_up_;    // [matmul_rows][gate | up]
  DeviceBuffer activated_;  // [matmul_rows][intermediate]
};

void DeviceForward::Enqueue(const DeviceBatch& batch, const std::int32_t* block, const DeviceRopeTables& ropes,
                            kernels::TargetScore* scores) const {
  Pass pass(*this, batch, block, ropes);
  pass.Embed();
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) pass.Layer(i);
  pass.Head(scores);
}

}  // namespace prefscore
