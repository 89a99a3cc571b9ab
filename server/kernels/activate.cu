// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/activations.h"
#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

constexpr int kLanes = 256;

// kCount neighbouring values of a matrix of elements, with their biases.
template <int kCount, typename Element>
__device__ __forceinline__ void LoadValues(const void* matrix, const float* bias, std::int64_t row_offset, int column,
                                           float (&values)[kCount]) {
  const auto pack = LoadPack<kCount>(static_cast<const Element*>(matrix) + row_offset + column);
#pragma unroll
  for (int c = 0; c < kCount; ++c) values[c] = kernels::ToFloat(pack.values[c]);
  if (bias == nullptr) return;
  float added[kCount];
  LoadFloats(bias + column, added);
#pragma unroll
  for (int c = 0; c < kCount; ++c) values[c] += added[c];
}

// Each lane makes kCount values of one row.
template <typename Element, int kCount, kernels::Activation kActivation>
__global__ void __launch_bounds__(kLanes) ActivateKernel(const kernels::ActivateArgs args, unsigned blocks_per_row) {
  const std::int64_t row = blockIdx.x / blocks_per_row;
  const int column = static_cast<int>((blockIdx.x % blocks_per_row * kLanes + threadIdx.x) * kCount);
  if (column >= args.width) return;
  float up[kCount];
  LoadValues<kCount, Element>(args.up, args.up_bias, row * args.stride, column, up);
  Pack<Element, kCount> out;
  if (args.gate != nullptr) {
    float gate[kCount];
    LoadValues<kCount, Element>(args.gate, args.gate_bias, row * args.stride, column, gate);
#pragma unroll
    for (int c = 0; c < kCount; ++c) {
      out.values[c] = kernels::RoundTo<Element>(kernels::Activated(kActivation, gate[c]) * up[c]);
    }
  } else {
#pragma unroll
    for (int c = 0; c < kCount; ++c) out.values[c] = kernels::RoundTo<Element>(kernels::Activated(kActivation, up[c]));
  }
  StorePack<kCount>(static_cast<Element*>(args.out) + row * args.width + column, out);
}

template <typename Element, int kCount>
void LaunchFor(const kernels::ActivateArgs& args, cudaStream_t stream) {
  const std::int64_t blocks_per_row = CeilDivide(args.width, kLanes * kCount);
  const auto launch = [&](auto kernel) {
    Launch(kernel, args.num_rows * blocks_per_row, kLanes, 0, stream, args, static_cast<unsigned>(blocks_per_row));
  };
  switch (args.activation) {
    case kernels::Activation::kSilu:
      return launch(ActivateKernel<Element, kCount, kernels::Activation::kSilu>);
    case kernels::Activation::kGeluTanh:
      return launch(ActivateKernel<Element, kCount, kernels::Activation::kGeluTanh>);
    case kernels::Activation::kGeluErf:
      return launch(ActivateKernel<Element, kCount, kernels::Activation::kGeluErf>);
    case kernels::Activation::kRelu:
      return launch(ActivateKernel<Element, kCount, kernels::Activation::kRelu>);
  }
}

}  // namespace

void Activate(const kernels::ActivateArgs& args, cudaStream_t stream) {
  if (args.num_rows == 0) return;
  WithElement(args.type, [&]<typename Element>(Element) {
    constexpr int kCount = 16 / sizeof(Element);
    const bool wide = IsAligned(static_cast<const Element*>(args.gate), args.stride, kCount) &&
                      IsAligned(static_cast<const Element*>(args.up), args.stride, kCount) &&
                      IsAligned(static_cast<const Element*>(args.out), args.width, kCount) &&
                      IsAligned(args.gate_bias, 0, kQuad) && IsAligned(args.up_bias, 0, kQuad);
    if (wide) {
      LaunchFor<Element, kCount>(args, stream);
    } else {
      LaunchFor<Element, 1>(args, stream);
    }
  });
}

}  // namespace prefscore::cuda
