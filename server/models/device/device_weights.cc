// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device_weights.h"

#include <initializer_list>

#include "server/models/device/weight_uploader.h"

namespace prefscore {
namespace {

DeviceLinear LoadLinear(WeightUploader& uploader, std::initializer_list<LinearView> parts) {
  DeviceLinear linear{.weight = {}, .bias = uploader.Biases(parts), .num_in = parts.begin()->weight.num_in};
  std::vector<WeightView> weights;
  for (const LinearView& part : parts) {
    weights.push_back(part.weight);
    linear.num_out += part.weight.num_out;
  }
  linear.weight = uploader.Matrix(weights);
  return linear;
}

DeviceNorm LoadNorm(WeightUploader& uploader, const DecoderConfig& config, const NormView& view) {
  return {.weight = uploader.Vector(view.weight, config.norm == NormKind::kRmsOnePlusWeight ? 1.0f : 0.0f),
          .bias = uploader.Vector(view.bias),
          .epsilon = static_cast<float>(config.norm_epsilon),
          .subtract_mean = config.norm == NormKind::kLayer};
}

DeviceLayerWeights LoadLayer(WeightUploader& uploader, const DecoderConfig& config, const LayerWeightViews& views) {
  const auto norm = [&](const NormView& view) { return LoadNorm(uploader, config, view); };
  return {.pre_attention_norm = norm(views.pre_attention_norm),
          .post_attention_norm = norm(views.post_attention_norm),
          .pre_mlp_norm = norm(views.pre_mlp_norm),
          .post_mlp_norm = norm(views.post_mlp_norm),
          .query_norm = norm(views.query_norm),
          .key_norm = norm(views.key_norm),
          .query_key_value = LoadLinear(uploader, {views.query, views.key, views.value}),
          .attention_output = LoadLinear(uploader, {views.attention_output}),
          .gate_up = config.gated_mlp ? LoadLinear(uploader, {views.gate, views.up}) : LoadLinear(uploader, {views.up}),
          .down = LoadLinear(uploader, {views.down})};
}

}  // namespace

DeviceWeights LoadDeviceWeights(Device& device, const DecoderConfig& config, const DecoderWeightViews& views,
                                Precision precision, int num_threads) {
  WeightUploader uploader(device, precision, num_threads);
  const auto matrix = [&](const WeightView& view, std::int64_t padded_rows = 0) {
    return uploader.Matrix(std::span(&view, 1), padded_rows);
  };
  DeviceWeights weights;
  weights.padded_vocab_size =
      (config.vocab_size + kVocabularyMultiple - 1) / kVocabularyMultiple * kVocabularyMultiple;
  weights.token_embedding = matrix(views.token_embedding, config.tied_head ? weights.padded_vocab_size : 0);
  if (config.learned_positions) weights.position_embedding = matrix(views.position_embedding);
  for (const LayerWeightViews& layer : views.layers) weights.layers.push_back(LoadLayer(uploader, config, layer));
  weights.final_norm = LoadNorm(uploader, config, views.final_norm);
  if (!config.tied_head) weights.head = matrix(views.head.weight, weights.padded_vocab_size);
  return weights;
}

}  // namespace prefscore
