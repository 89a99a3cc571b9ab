// SPDX-License-Identifier: Apache-2.0
// What the CPU's twins share: sums in the order of row_lanes.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/kernels/kernels.h"
#include "server/kernels/row_lanes.h"
#include "server/kernels/scalar_math.h"

namespace prefscore::host {

// The sum over lanes, a multiple of 32 of them.
template <typename Number>
Number SumLanes(std::vector<Number> lanes) {
  const auto num_lanes = static_cast<int>(lanes.size());
  for (int distance = kernels::kWarpLanes / 2; distance > 0; distance /= 2) {
    std::vector<Number> sums(lanes.size());
    for (int lane = 0; lane < num_lanes; ++lane) sums[lane] = lanes[lane] + lanes[lane ^ distance];
    lanes.swap(sums);
  }
  Number total = lanes[0];
  for (int lane = kernels::kWarpLanes; lane < num_lanes; lane += kernels::kWarpLanes) total += lanes[lane];
  return total;
}

// The sum of term(i) for i < size, lane by lane in runs of `run` neighbours.
template <typename Term>
float SumOver(std::int64_t size, int num_lanes, int run, const Term& term) {
  std::vector<float> lanes(num_lanes, 0.0f);
  for (std::int64_t i = 0; i < size; ++i) lanes[i / run % num_lanes] += term(i);
  return SumLanes(std::move(lanes));
}

// What a norm multiplies by, and what it takes off first.
struct NormScale {
  float mean = 0.0f;
  float scale = 1.0f;
};

inline NormScale ScaleOf(const kernels::Norm& norm, std::span<const float> x, int num_lanes, int run) {
  const auto size = static_cast<std::int64_t>(x.size());
  const auto width = static_cast<float>(size);
  NormScale result;
  if (norm.subtract_mean) result.mean = SumOver(size, num_lanes, run, [&](std::int64_t i) { return x[i]; }) / width;
  const float square = SumOver(size, num_lanes, run, [&](std::int64_t i) {
    const float value = x[i] - result.mean;
    return value * value;
  });
  result.scale = 1.0f / std::sqrt(square / width + norm.epsilon);
  return result;
}

inline float Normalized(const kernels::Norm& norm, const NormScale& by, float x, std::int64_t column) {
  const float value = (x - by.mean) * by.scale * norm.weight[column];
  return norm.bias ? value + norm.bias[column] : value;
}

// function(element) with an element of the type as argument, to choose a template's instance.
template <typename Function>
void WithElement(kernels::ElementType type, const Function& function) {
  if (type == kernels::ElementType::kFloat32) {
    function(float{});
  } else {
    function(kernels::Bfloat16{});
  }
}

}  // namespace prefscore::host
