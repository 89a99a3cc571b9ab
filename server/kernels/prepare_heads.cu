// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

using kernels::kHeadLanes;

struct NormScale {
  float mean;
  float scale;
};

// x[column] of the row, with its bias.
template <typename Element>
__device__ __forceinline__ float BiasedValue(const kernels::PrepareHeadsArgs& args, const Element* x, int column) {
  const float value = kernels::ToFloat(x[column]);
  return args.bias != nullptr ? value + args.bias[column] : value;
}

// The scale of the values [first, first + size), which the lanes of `sum` share: lane l takes first + l,
// first + l + lanes, ...
template <typename Element, typename Sum>
__device__ NormScale ScaleOf(const kernels::PrepareHeadsArgs& args, const Element* x, int first, int size, int lane,
                             int lanes, const Sum& sum) {
  NormScale by{0.0f, 1.0f};
  if (args.norm.subtract_mean) {
    float total = 0.0f;
    for (int i = lane; i < size; i += lanes) total += BiasedValue(args, x, first + i);
    by.mean = sum(total) / static_cast<float>(size);
  }
  float square = 0.0f;
  for (int i = lane; i < size; i += lanes) {
    const float centred = BiasedValue(args, x, first + i) - by.mean;
    square += centred * centred;
  }
  by.scale = 1.0f / sqrtf(sum(square) / static_cast<float>(size) + args.norm.epsilon);
  return by;
}

// Loads kCount neighbouring values of one head, biased and normalised.
template <int kCount, typename Element>
__device__ __forceinline__ void LoadValues(const kernels::PrepareHeadsArgs& args, const Element* x, int column,
                                           const NormScale* scales, float (&values)[kCount]) {
  const auto pack = LoadPack<kCount>(x + column);
#pragma unroll
  for (int c = 0; c < kCount; ++c) values[c] = kernels::ToFloat(pack.values[c]);
  float other[kCount];
  if (args.bias != nullptr) {
    LoadFloats(args.bias + column, other);
#pragma unroll
    for (int c = 0; c < kCount; ++c) values[c] += other[c];
  }
  if (args.norm.weight == nullptr) return;
  const int head_dim = static_cast<int>(args.head_dim);
  const NormScale by = scales[args.norm_whole_row ? 0 : column / head_dim];
  const int first = args.norm_whole_row ? column : column % head_dim;
  LoadFloats(args.norm.weight + first, other);
#pragma unroll
  for (int c = 0; c < kCount; ++c) values[c] = (values[c] - by.mean) * by.scale * other[c];
  if (args.norm.bias == nullptr) return;
  LoadFloats(args.norm.bias + first, other);
#pragma unroll
  for (int c = 0; c < kCount; ++c) values[c] += other[c];
}

template <int kCount, typename Element>
__device__ __forceinline__ void StoreValues(const float (&values)[kCount], Element* out) {
  Pack<Element, kCount> pack;
#pragma unroll
  for (int c = 0; c < kCount; ++c) pack.values[c] = kernels::RoundTo<Element>(values[c]);
  StorePack<kCount>(out, pack);
}

// One item of a row: kCount pairs that rotate, or kCount values beyond them that stay.
template <int kCount, typename Element>
__device__ __forceinline__ void PrepareItem(const kernels::PrepareHeadsArgs& args, const Element* x, std::int64_t row,
                                            int item, const NormScale* scales, Element* out) {
  const int half = args.cosines != nullptr ? static_cast<int>(args.half) : 0;
  const int head_dim = static_cast<int>(args.head_dim);
  const int items_per_head = (head_dim - half) / kCount;
  const int offset = item % items_per_head * kCount;
  const int head = item / items_per_head * head_dim;
  if (offset < half) {
    const int column = head + offset;
    float first[kCount], second[kCount];
    LoadValues(args, x, column, scales, first);
    LoadValues(args, x, column + half, scales, second);
    const std::int64_t angle = args.rope_rows[row] * args.half + offset;
    float cosines[kCount], sines[kCount];
    LoadFloats(args.cosines + angle, cosines);
    LoadFloats(args.sines + angle, sines);
#pragma unroll
    for (int c = 0; c < kCount; ++c) {
      const float rotated = first[c] * cosines[c] - second[c] * sines[c];
      second[c] = second[c] * cosines[c] + first[c] * sines[c];
      first[c] = rotated;
    }
    StoreValues(first, out + column);
    StoreValues(second, out + column + half);
  } else {
    const int column = head + half + offset;
    float values[kCount];
    LoadValues(args, x, column, scales, values);
    StoreValues(values, out + column);
  }
}

// A block does rows_per_block rows, lane groups of items_per_row each; one row where there is a norm.
template <typename Element, int kCount>
__global__ void __launch_bounds__(kHeadLanes)
    PrepareHeadsKernel(const kernels::PrepareHeadsArgs args, int items_per_row, int rows_per_block) {
  auto* scales = reinterpret_cast<NormScale*>(dynamic_shared_memory);  // one per head, or one
  __shared__ float scratch[2][kHeadLanes / kWarpLanes];
  const int local_row = rows_per_block > 1 ? static_cast<int>(threadIdx.x) / items_per_row : 0;
  const std::int64_t row = blockIdx.x * std::int64_t{rows_per_block} + local_row;
  if (rows_per_block > 1 && (local_row >= rows_per_block || row >= args.num_rows)) return;  // no barrier follows then
  const std::int64_t source = args.source_rows != nullptr ? args.source_rows[row] : row;
  const auto* x = static_cast<const Element*>(args.projection) + source * args.stride;
  const int width = static_cast<int>(args.num_heads * args.head_dim);

  if (args.norm.weight != nullptr) {
    const int lane = static_cast<int>(threadIdx.x);
    if (args.norm_whole_row) {
      int sums = 0;
      const auto block_sum = [&](float value) { return BlockSum(value, scratch[sums++]); };
      const NormScale by = ScaleOf(args, x, 0, width, lane, kHeadLanes, block_sum);
      if (lane == 0) scales[0] = by;
    } else {
      for (int head = lane / kWarpLanes; head < args.num_heads; head += kHeadLanes / kWarpLanes) {
        const NormScale by =
            ScaleOf(args, x, head * static_cast<int>(args.head_dim), static_cast<int>(args.head_dim),
                    lane % kWarpLanes, kWarpLanes, [](float value) { return WarpSum(value); });
        if (lane % kWarpLanes == 0) scales[head] = by;
      }
    }
    __syncthreads();
  }

  auto* out = static_cast<Element*>(args.out) + row * width;
  const int first_item = static_cast<int>(threadIdx.x) - local_row * items_per_row;
  const int step = rows_per_block > 1 ? items_per_row : kHeadLanes;
  for (int item = first_item; item < items_per_row; item += step) {
    PrepareItem<kCount>(args, x, row, item, scales, out);
  }
}

template <typename Element, int kCount>
void LaunchFor(const kernels::PrepareHeadsArgs& args, cudaStream_t stream) {
  const std::int64_t half = args.cosines != nullptr ? args.half : 0;
  const std::int64_t items_per_row = args.num_heads * ((args.head_dim - half) / kCount);
  const bool has_norm = args.norm.weight != nullptr;
  const std::int64_t rows_per_block = has_norm ? 1 : std::max<std::int64_t>(1, kHeadLanes / items_per_row);
  const std::int64_t num_scales = !has_norm ? 0 : args.norm_whole_row ? 1 : args.num_heads;
  Launch(PrepareHeadsKernel<Element, kCount>, CeilDivide(args.num_rows, rows_per_block), kHeadLanes,
         num_scales * sizeof(NormScale), stream, args, static_cast<int>(items_per_row),
         static_cast<int>(rows_per_block));
}

}  // namespace

void PrepareHeads(const kernels::PrepareHeadsArgs& args, cudaStream_t stream) {
  if (args.num_rows == 0) return;
  WithElement(args.type, [&]<typename Element>(Element) {
    constexpr int kCount = 16 / sizeof(Element);
    const std::int64_t half = args.cosines != nullptr ? args.half : 0;
    const bool wide = IsAligned(static_cast<const Element*>(args.projection), args.stride, kCount) &&
                      IsAligned(static_cast<const Element*>(args.out), args.head_dim, kCount) && half % kCount == 0 &&
                      IsAligned(args.bias, 0, kQuad) && IsAligned(args.norm.weight, 0, kQuad) &&
                      IsAligned(args.norm.bias, 0, kQuad) && IsAligned(args.cosines, 0, kQuad) &&
                      IsAligned(args.sines, 0, kQuad);
    if (wide) {
      LaunchFor<Element, kCount>(args, stream);
    } else {
      LaunchFor<Element, 1>(args, stream);
    }
  });
}

}  // namespace prefscore::cuda
