// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

constexpr int kMaxLanes = 1024;
constexpr int kMaxWarps = kMaxLanes / kWarpLanes;

// A row in registers: quad k of a lane begins at column Column(k).
template <int kQuads>
struct RowValues {
  float quads[kQuads][kQuad];

  __device__ static std::int64_t Column(int k) {
    return (threadIdx.x + static_cast<std::int64_t>(k) * blockDim.x) * kQuad;
  }

  // function(value) for every value of the lane, in order.
  template <typename Function>
  __device__ __forceinline__ void ForEach(std::int64_t width, const Function& function) {
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
#pragma unroll
      for (int c = 0; c < kQuad; ++c) {
        if (Column(k) + c < width) function(quads[k][c]);
      }
    }
  }

  // function(value, other) for every value and the value of another row at its place.
  template <typename Value, typename Function>
  __device__ __forceinline__ void With(const Value* row, std::int64_t width, bool wide, const Function& function) {
#pragma unroll
    for (int k = 0; k < kQuads; ++k) {
      float others[kQuad];
      LoadQuad(row, Column(k), width, wide, others);
#pragma unroll
      for (int c = 0; c < kQuad; ++c) function(quads[k][c], others[c]);
    }
  }

  template <typename Value>
  __device__ __forceinline__ void Load(const Value* row, std::int64_t width, bool wide) {
#pragma unroll
    for (int k = 0; k < kQuads; ++k) LoadQuad(row, Column(k), width, wide, quads[k]);
  }

  template <typename Value>
  __device__ __forceinline__ void Store(Value* row, std::int64_t width, bool wide) const {
#pragma unroll
    for (int k = 0; k < kQuads; ++k) StoreQuad(quads[k], row, Column(k), width, wide);
  }
};

// scratch: two sums' worth.
template <int kQuads>
__device__ __forceinline__ void Normalize(const kernels::Norm& norm, std::int64_t width, bool wide,
                                          float (*scratch)[kMaxWarps], RowValues<kQuads>& x) {
  if (norm.weight == nullptr) return;
  float mean = 0.0f;
  if (norm.subtract_mean) {
    float sum = 0.0f;
    x.ForEach(width, [&](float value) { sum += value; });
    mean = BlockSum(sum, scratch[0]) / static_cast<float>(width);
  }
  float square = 0.0f;
  x.ForEach(width, [&](float value) {
    const float centred = value - mean;
    square += centred * centred;
  });
  square = BlockSum(square, scratch[1]);
  const float scale = 1.0f / sqrtf(square / static_cast<float>(width) + norm.epsilon);
  x.With(norm.weight, width, wide, [&](float& value, float weight) { value = (value - mean) * scale * weight; });
  if (norm.bias != nullptr) x.With(norm.bias, width, wide, [](float& value, float bias) { value += bias; });
}

// One block per row. wide: every row, weight and bias may be read a quad at a time.
template <typename Element, int kQuads>
__global__ void __launch_bounds__(kMaxLanes) ResidualNormKernel(const kernels::ResidualNormArgs args, bool wide) {
  __shared__ float scratch[4][kMaxWarps];
  const std::int64_t width = args.width;
  float* hidden = args.hidden + blockIdx.x * width;
  RowValues<kQuads> x;
  if (args.branch != nullptr) {
    x.Load(args.branch + blockIdx.x * width, width, wide);
    if (args.branch_bias != nullptr) {
      x.With(args.branch_bias, width, wide, [](float& value, float bias) { value += bias; });
    }
    Normalize(args.branch_norm, width, wide, scratch, x);
    x.With(hidden, width, wide, [](float& value, float old) { value = old + value; });
    x.Store(hidden, width, wide);
  } else {
    x.Load(hidden, width, wide);
  }
  Normalize(args.next_norm, width, wide, scratch + 2, x);
  x.Store(static_cast<Element*>(args.normalized) + blockIdx.x * width, width, wide);
}

}  // namespace

void ResidualNorm(const kernels::ResidualNormArgs& args, cudaStream_t stream) {
  if (args.num_rows == 0) return;
  WithElement(args.type, [&]<typename Element>(Element) {
    bool wide = IsAligned(args.hidden, args.width, kQuad) && IsAligned(args.branch, args.width, kQuad) &&
                IsAligned(static_cast<const Element*>(args.normalized), args.width, kQuad) &&
                IsAligned(args.branch_bias, 0, kQuad);
    for (const kernels::Norm& norm : {args.branch_norm, args.next_norm}) {
      wide = wide && IsAligned(norm.weight, 0, kQuad) && IsAligned(norm.bias, 0, kQuad);
    }
    const int lanes = kernels::RowLanes(args.width);
    const std::int64_t quads = CeilDivide(args.width, lanes * kQuad);
    const std::int64_t num_blocks = args.width <= kernels::kMaxRowWidth ? args.num_rows : kRefused;
    const auto launch = [&](auto kernel) { Launch(kernel, num_blocks, lanes, 0, stream, args, wide); };
    if (quads <= 1) {
      launch(ResidualNormKernel<Element, 1>);
    } else if (quads <= 2) {
      launch(ResidualNormKernel<Element, 2>);
    } else if (quads <= 4) {
      launch(ResidualNormKernel<Element, 4>);
    } else {
      launch(ResidualNormKernel<Element, 8>);
    }
  });
}

}  // namespace prefscore::cuda
