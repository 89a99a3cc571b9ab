// SPDX-License-Identifier: Apache-2.0
// The decoder once more, as plainly as possible: one sequence, one token at a time, in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "server/models/causal_lm.h"
#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"
#include "server/models/rope.h"

namespace prefscore::testing {

using Row = std::vector<double>;

inline double At(const WeightView& view, std::int64_t out, std::int64_t in) {
  float value;
  std::memcpy(&value, view.data + (out * view.out_stride + in * view.in_stride) * 4, 4);
  return value;
}

inline Row NaiveLinear(const LinearView& linear, const Row& x) {
  Row y(linear.weight.num_out);
  for (std::size_t o = 0; o < y.size(); ++o) {
    y[o] = linear.bias ? At(linear.bias, 0, o) : 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) y[o] += At(linear.weight, o, i) * x[i];
  }
  return y;
}

// Of x[first .. first + width of the norm), in place.
inline void NaiveNorm(const DecoderConfig& config, const NormView& norm, Row& x, std::size_t first = 0) {
  const auto width = static_cast<std::size_t>(norm.weight.num_in);
  double mean = 0.0, square = 0.0;
  if (config.norm == NormKind::kLayer) {
    for (std::size_t i = 0; i < width; ++i) mean += x[first + i] / static_cast<double>(width);
  }
  for (std::size_t i = 0; i < width; ++i) square += std::pow(x[first + i] - mean, 2) / static_cast<double>(width);
  const double one = config.norm == NormKind::kRmsOnePlusWeight ? 1.0 : 0.0;
  for (std::size_t i = 0; i < width; ++i) {
    x[first + i] = (x[first + i] - mean) / std::sqrt(square + config.norm_epsilon) * (one + At(norm.weight, 0, i)) +
                   (norm.bias ? At(norm.bias, 0, i) : 0.0);
  }
}

inline double NaiveActivation(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::kRelu:
      return std::max(x, 0.0);
  }
  return x;
}

inline double NaiveSoftcap(double cap, double x) { return cap > 0.0 ? cap * std::tanh(x / cap) : x; }

// Norm and rotation of the query or key heads of one position.
inline void NaivePrepareHeads(const DecoderConfig& config, const NormView& norm, const RopeFrequencies* frequencies,
                              std::int64_t position, Row& heads) {
  const auto dim = static_cast<std::size_t>(config.head_dim);
  if (config.query_key_norm == QueryKeyNorm::kWholeProjection) NaiveNorm(config, norm, heads);
  for (std::size_t first = 0; first < heads.size(); first += dim) {
    if (config.query_key_norm == QueryKeyNorm::kPerHead) NaiveNorm(config, norm, heads, first);
    if (!frequencies) continue;
    const std::size_t half = frequencies->inverse.size();
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies->inverse[i];
      const double cosine = std::cos(angle) * frequencies->attention_factor;
      const double sine = std::sin(angle) * frequencies->attention_factor;
      const double a = heads[first + i], b = heads[first + half + i];
      heads[first + i] = a * cosine - b * sine;
      heads[first + half + i] = b * cosine + a * sine;
    }
  }
}

// log p of tokens[num_prompt ...] given what is before each.
inline std::vector<double> NaiveLogProbs(const DecoderConfig& config, const DecoderWeightViews& weights,
                                         const TokenIds& prompt, const TokenIds& completion) {
  TokenIds tokens = prompt;
  tokens.insert(tokens.end(), completion.begin(), completion.end());
  const auto length = static_cast<std::int64_t>(tokens.size());
  const auto add = [](Row& sum, const Row& x) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += x[i];
  };
  std::vector<RopeFrequencies> frequencies;
  for (const RopeConfig& rope : config.ropes) frequencies.push_back(ComputeRopeFrequencies(rope, length));

  std::vector<Row> hidden(length, Row(config.hidden_size));
  for (std::int64_t t = 0; t < length; ++t) {
    for (std::int64_t i = 0; i < config.hidden_size; ++i) {
      hidden[t][i] = At(weights.token_embedding, tokens[t], i) * static_cast<float>(config.embedding_scale) +
                     (config.learned_positions ? At(weights.position_embedding, t, i) : 0.0);
    }
  }
  const auto apply = [&](const NormView& norm, Row x) {
    if (norm.weight) NaiveNorm(config, norm, x);
    return x;
  };
  for (std::size_t l = 0; l < config.layers.size(); ++l) {
    const LayerWeightViews& layer = weights.layers[l];
    const RopeFrequencies* rope = config.layers[l].rope < 0 ? nullptr : &frequencies[config.layers[l].rope];
    const std::int64_t window = config.layers[l].sliding_window;
    std::vector<Row> keys, values;
    for (std::int64_t t = 0; t < length; ++t) {
      const Row x = apply(layer.pre_attention_norm, hidden[t]);
      Row query = NaiveLinear(layer.query, x);
      keys.push_back(NaiveLinear(layer.key, x));
      values.push_back(NaiveLinear(layer.value, x));
      NaivePrepareHeads(config, layer.query_norm, rope, t, query);
      NaivePrepareHeads(config, layer.key_norm, rope, t, keys.back());
      Row attended(query.size(), 0.0);
      for (std::int64_t head = 0; head < config.num_heads; ++head) {
        const std::int64_t kv_first = head / (config.num_heads / config.num_kv_heads) * config.head_dim;
        Row scores;
        double sum = 0.0;
        const std::int64_t first_key = window > 0 ? std::max<std::int64_t>(0, t - window + 1) : 0;
        for (std::int64_t k = first_key; k <= t; ++k) {
          double score = 0.0;
          for (std::int64_t d = 0; d < config.head_dim; ++d) {
            score += query[head * config.head_dim + d] * keys[k][kv_first + d];
          }
          scores.push_back(std::exp(NaiveSoftcap(config.attention_softcap, score * config.attention_scale)));
          sum += scores.back();
        }
        for (std::int64_t k = first_key; k <= t; ++k) {
          for (std::int64_t d = 0; d < config.head_dim; ++d) {
            attended[head * config.head_dim + d] += scores[k - first_key] / sum * values[k][kv_first + d];
          }
        }
      }
      add(hidden[t], apply(layer.post_attention_norm, NaiveLinear(layer.attention_output, attended)));
      const Row y = apply(layer.pre_mlp_norm, hidden[t]);
      Row up = NaiveLinear(layer.up, y);
      const Row gate = config.gated_mlp ? NaiveLinear(layer.gate, y) : up;
      for (std::size_t i = 0; i < up.size(); ++i) {
        up[i] = NaiveActivation(config.activation, gate[i]) * (config.gated_mlp ? up[i] : 1.0);
      }
      add(hidden[t], apply(layer.post_mlp_norm, NaiveLinear(layer.down, up)));
    }
  }

  const LinearView head = config.tied_head ? LinearView{.weight = weights.token_embedding, .bias = {}} : weights.head;
  std::vector<double> log_probs;
  for (std::size_t i = 0; i < completion.size(); ++i) {
    Row logits = NaiveLinear(head, apply(weights.final_norm, hidden[prompt.size() - 1 + i]));
    double sum = 0.0;
    for (double& logit : logits) sum += std::exp(logit = NaiveSoftcap(config.logit_softcap, logit));
    log_probs.push_back(logits[completion[i]] - std::log(sum));
  }
  return log_probs;
}

}  // namespace prefscore::testing
