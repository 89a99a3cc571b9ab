// SPDX-License-Identifier: Apache-2.0
#include "server/models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "server/models/row_ops.h"
#include "server/models/torch_pow.h"

namespace prefscore {
namespace {

// theta ** (0, 2, 4, ... / rotary_dim)
std::vector<float> Wavelengths(double theta, std::int64_t rotary_dim) {
  std::vector<float> exponents(rotary_dim / 2);
  for (std::size_t i = 0; i < exponents.size(); ++i) {
    exponents[i] = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
  }
  return TorchPow(theta, std::move(exponents));
}

// In fp32 throughout, as torch does for a length that is a tensor.
float DynamicTheta(const RopeConfig& config, std::int64_t sequence_length) {
  const float length = static_cast<float>(std::max(sequence_length, config.original_max_positions));
  const float stretch = static_cast<float>(config.factor) * length / static_cast<float>(config.original_max_positions) -
                        static_cast<float>(config.factor - 1.0);
  const double dim = static_cast<double>(config.rotary_dim);
  return static_cast<float>(config.theta) * TorchPow(stretch, dim / (dim - 2.0));
}

// Low frequencies are divided by the factor, high ones kept, those between interpolated.
void ScaleLlama3(const RopeConfig& config, std::vector<float>& inverse) {
  const float factor = static_cast<float>(config.factor);
  const double original = static_cast<double>(config.original_max_positions);
  const float longest = static_cast<float>(original / config.low_freq_factor);
  const float shortest = static_cast<float>(original / config.high_freq_factor);
  for (float& frequency : inverse) {
    const float wavelength = 1.0f / frequency * static_cast<float>(2.0 * std::numbers::pi);
    if (wavelength > longest) {
      frequency /= factor;
    } else if (wavelength >= shortest) {
      const float num_turns = 1.0f / wavelength * static_cast<float>(original);
      const float smooth = (num_turns - static_cast<float>(config.low_freq_factor)) /
                           static_cast<float>(config.high_freq_factor - config.low_freq_factor);
      frequency = (1.0f - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

double YarnScale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double YarnAttentionFactor(const RopeConfig& config) {
  if (config.attention_factor) return *config.attention_factor;
  if (config.mscale.value_or(0.0) != 0.0 && config.mscale_all_dim.value_or(0.0) != 0.0) {
    return YarnScale(config.factor, *config.mscale) / YarnScale(config.factor, *config.mscale_all_dim);
  }
  return YarnScale(config.factor, 1.0);
}

// The dimension whose wavelength makes that many turns over the original context.
double YarnDimension(const RopeConfig& config, double num_turns) {
  return static_cast<double>(config.rotary_dim) *
         std::log(static_cast<double>(config.original_max_positions) / (num_turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(config.theta));
}

std::vector<float> YarnInverse(const RopeConfig& config, const std::vector<float>& wavelengths) {
  double low = YarnDimension(config, config.beta_fast);
  double high = YarnDimension(config, config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(config.rotary_dim - 1));
  if (low == high) high += 0.001;
  std::vector<float> inverse(wavelengths.size());
  for (std::size_t i = 0; i < inverse.size(); ++i) {
    const float ramp = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float extrapolated_share = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    const float interpolated = 1.0f / (static_cast<float>(config.factor) * wavelengths[i]);
    const float extrapolated = 1.0f / wavelengths[i];
    inverse[i] = interpolated * (1.0f - extrapolated_share) + extrapolated * extrapolated_share;
  }
  return inverse;
}

double LongRopeAttentionFactor(const RopeConfig& config) {
  if (config.attention_factor) return *config.attention_factor;
  if (config.factor <= 1.0) return 1.0;
  return std::sqrt(1.0 + std::log(config.factor) / std::log(static_cast<double>(config.original_max_positions)));
}

std::vector<float> Inverses(const std::vector<float>& values) {
  std::vector<float> inverses(values.size());
  std::transform(values.begin(), values.end(), inverses.begin(), [](float value) { return 1.0f / value; });
  return inverses;
}

}  // namespace

RopeFrequencies ComputeRopeFrequencies(const RopeConfig& config, std::int64_t sequence_length) {
  using Kind = RopeConfig::Kind;
  const bool stretched = config.kind == Kind::kDynamic && sequence_length > config.original_max_positions;
  const double theta = stretched ? DynamicTheta(config, sequence_length) : config.theta;
  std::vector<float> wavelengths = Wavelengths(theta, config.rotary_dim);
  switch (config.kind) {
    case Kind::kDefault:
    case Kind::kDynamic:
      return {Inverses(wavelengths)};
    case Kind::kLinear: {
      RopeFrequencies frequencies{Inverses(wavelengths)};
      for (float& frequency : frequencies.inverse) frequency /= static_cast<float>(config.factor);
      return frequencies;
    }
    case Kind::kLlama3: {
      RopeFrequencies frequencies{Inverses(wavelengths)};
      ScaleLlama3(config, frequencies.inverse);
      return frequencies;
    }
    case Kind::kYarn:
      return {YarnInverse(config, wavelengths), static_cast<float>(YarnAttentionFactor(config))};
    case Kind::kLongRope: {
      const bool is_long = sequence_length > config.original_max_positions;
      const std::vector<double>& factors = is_long ? config.long_factor : config.short_factor;
      for (std::size_t i = 0; i < wavelengths.size(); ++i) wavelengths[i] *= static_cast<float>(factors[i]);
      return {Inverses(wavelengths), static_cast<float>(LongRopeAttentionFactor(config))};
    }
  }
  return {};
}

std::int64_t RopeLengthKey(const RopeConfig& config, std::int64_t sequence_length) {
  const bool is_long = sequence_length > config.original_max_positions;
  if (config.kind == RopeConfig::Kind::kDynamic) return is_long ? sequence_length : 0;
  if (config.kind == RopeConfig::Kind::kLongRope) return is_long ? 1 : 0;
  return 0;
}

RopeTable::RopeTable(const RopeConfig& config, std::int64_t sequence_length, std::int64_t num_positions)
    : half_(config.rotary_dim / 2), cosines_(num_positions, half_), sines_(num_positions, half_) {
  const RopeFrequencies frequencies = ComputeRopeFrequencies(config, sequence_length);
  for (std::int64_t position = 0; position < num_positions; ++position) {
    for (std::int64_t i = 0; i < half_; ++i) {
      const double angle = static_cast<float>(position) * frequencies.inverse[i];  // rounded to fp32, as in torch
      cosines_.row(position)[i] = static_cast<float>(std::cos(angle)) * frequencies.attention_factor;
      sines_.row(position)[i] = static_cast<float>(std::sin(angle)) * frequencies.attention_factor;
    }
  }
}

void RopeTable::Rotate(std::int64_t position, float* head) const {
  GetRowOps().rotate(cosines_.row(position), sines_.row(position), half_, head);
}

RopeTables::RopeTables(std::span<const RopeConfig> configs, std::span<const std::int64_t> sequence_lengths,
                       std::int64_t num_positions) {
  for (const RopeConfig& config : configs) {
    std::vector<RopeTable>& tables = tables_.emplace_back();
    for (const std::int64_t length : sequence_lengths) tables.emplace_back(config, length, num_positions);
  }
}

std::span<const RopeTable> RopeTables::Of(int rope) const {
  return rope < 0 ? std::span<const RopeTable>() : std::span<const RopeTable>(tables_[rope]);
}

}  // namespace prefscore
