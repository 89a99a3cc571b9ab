// SPDX-License-Identifier: Apache-2.0
// On CUDA cores, in fp32: for what flash attention does not take (fp32, a softcap, odd head sizes). A block attends
// some queries of one head of one segment, a warp a few of them: its lanes are keys while scores are made, dimensions
// while values are summed. A row's order of operations depends on its position and its segment alone, so steps of keys
// that only other rows of the warp see must leave it as it is, bit for bit.
#include <limits>

#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

using kernels::kKeyStep;

constexpr int kWarps = 8;
constexpr int kLanes = kWarps * kWarpLanes;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// kDims: dimensions of a head that a lane sums; a head is padded with zeros to 32 * kDims. kQueries: of a warp.
template <int kDims, int kQueries>
struct Tiles {
  static constexpr int kWidth = kDims * kWarpLanes;
  float keys[kKeyStep][kWidth + kQuad];  // padded, so that quads of 8 neighbouring rows lie in different banks
  float values[kKeyStep][kWidth];
  float queries[kWarps * kQueries][kWidth];
  float weights[kWarps][kKeyStep][kQueries];
};

// num_rows rows of a head, `stride` values apart, as fp32 into shared memory; zeros beyond `end_row` and head_dim.
template <int kWidth, typename Element, int kRowWidth>
__device__ __forceinline__ void LoadTile(const Element* source, std::int64_t stride, int head_dim,
                                         std::int64_t first_row, std::int64_t end_row, int num_rows, bool wide,
                                         float (*tile)[kRowWidth]) {
  constexpr int kQuadsPerRow = kWidth / kQuad;
  for (int i = threadIdx.x; i < num_rows * kQuadsPerRow; i += kLanes) {
    const int row = i / kQuadsPerRow;
    const int column = i % kQuadsPerRow * kQuad;
    Pack<float, kQuad> quad{};
    if (first_row + row < end_row) LoadQuad(source + (first_row + row) * stride, column, head_dim, wide, quad.values);
    StorePack<kQuad>(&tile[row][column], quad);
  }
}

template <typename Element, int kDims, int kQueries>
__global__ void __launch_bounds__(kLanes)
    SegmentAttentionKernel(const kernels::SegmentAttentionArgs args, unsigned query_blocks, bool wide) {
  using TilesType = Tiles<kDims, kQueries>;
  constexpr int kBlockQueries = kWarps * kQueries;
  auto& tiles = *reinterpret_cast<TilesType*>(dynamic_shared_memory);

  const int head = static_cast<int>(blockIdx.x / query_blocks % args.num_heads);
  const std::int64_t segment = blockIdx.x / query_blocks / args.num_heads;
  const std::int64_t num_queries = args.first_queries[segment + 1] - args.first_queries[segment];
  const std::int64_t num_keys = args.first_keys[segment + 1] - args.first_keys[segment];
  const std::int64_t block_query = std::int64_t{blockIdx.x % query_blocks} * kBlockQueries;
  if (block_query >= num_queries) return;

  const int head_dim = static_cast<int>(args.head_dim);
  const std::int64_t query_stride = args.num_heads * args.head_dim;
  const std::int64_t key_stride = args.num_kv_heads * args.head_dim;
  const std::int64_t query_offset = args.first_queries[segment] * query_stride + head * args.head_dim;
  const std::int64_t key_offset =
      args.first_keys[segment] * key_stride + head / (args.num_heads / args.num_kv_heads) * args.head_dim;
  const auto* keys = static_cast<const Element*>(args.keys) + key_offset;
  const auto* values = static_cast<const Element*>(args.values) + key_offset;
  LoadTile<TilesType::kWidth>(static_cast<const Element*>(args.queries) + query_offset, query_stride, head_dim,
                              block_query, num_queries, kBlockQueries, wide, tiles.queries);

  // The keys that a query sees: [begin_of(query), end_of(query)).
  const auto end_of = [&](std::int64_t query) { return query + num_keys - num_queries + 1; };
  const auto begin_of = [&](std::int64_t query) {
    return args.window > 0 ? max(std::int64_t{0}, end_of(query) - args.window) : std::int64_t{0};
  };

  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const std::int64_t warp_query = block_query + warp * kQueries;
  float maxima[kQueries], totals[kQueries], sums[kQueries][kDims];
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    maxima[q] = -kInfinity;
    totals[q] = 0.0f;
#pragma unroll
    for (int i = 0; i < kDims; ++i) sums[q][i] = 0.0f;
  }

  const std::int64_t block_end = end_of(min(block_query + kBlockQueries, num_queries) - 1);
  const std::int64_t warp_end = end_of(min(warp_query + kQueries, num_queries) - 1);
  const std::int64_t warp_begin = begin_of(warp_query);
  for (std::int64_t step = begin_of(block_query) / kKeyStep * kKeyStep; step < block_end; step += kKeyStep) {
    __syncthreads();  // the tiles of the step before are done with
    LoadTile<TilesType::kWidth>(keys, key_stride, head_dim, step, num_keys, kKeyStep, wide, tiles.keys);
    LoadTile<TilesType::kWidth>(values, key_stride, head_dim, step, num_keys, kKeyStep, wide, tiles.values);
    __syncthreads();
    if (warp_query >= num_queries || step >= warp_end || step + kKeyStep <= warp_begin) continue;

    float dots[kQueries] = {};
#pragma unroll 4
    for (int d = 0; d < TilesType::kWidth; d += kQuad) {
      const auto key = LoadPack<kQuad>(&tiles.keys[lane][d]);
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        const auto query = LoadPack<kQuad>(&tiles.queries[warp * kQueries + q][d]);
#pragma unroll
        for (int c = 0; c < kQuad; ++c) dots[q] = fmaf(query.values[c], key.values[c], dots[q]);
      }
    }
    Pack<float, kQueries> weights;
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const std::int64_t key = step + lane;
      const bool visible = key >= begin_of(warp_query + q) && key < end_of(warp_query + q) && key < num_keys;
      float score = dots[q] * args.scale;
      if (args.softcap > 0.0f) score = args.softcap * kernels::Tanh(score / args.softcap);
      const float maximum = fmaxf(maxima[q], WarpMaximum(visible ? score : -kInfinity));
      const float reference = maximum == -kInfinity ? 0.0f : maximum;
      const float shrink = kernels::Exp(maxima[q] - reference);
      weights.values[q] = visible ? kernels::Exp(score - reference) : 0.0f;
      maxima[q] = maximum;
      totals[q] = totals[q] * shrink + WarpSum(weights.values[q]);
#pragma unroll
      for (int i = 0; i < kDims; ++i) sums[q][i] *= shrink;
    }
    __syncwarp();  // the weights of the step before are done with
    StorePack<kQueries>(&tiles.weights[warp][lane][0], weights);
    __syncwarp();
    for (int key = 0; key < kKeyStep; ++key) {
      const auto weight = LoadPack<kQueries>(&tiles.weights[warp][key][0]);
      float value[kDims];
#pragma unroll
      for (int i = 0; i < kDims; ++i) value[i] = tiles.values[key][i * kWarpLanes + lane];
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        if (weight.values[q] == 0.0f) continue;  // what is not seen may be NaN
#pragma unroll
        for (int i = 0; i < kDims; ++i) sums[q][i] = fmaf(weight.values[q], value[i], sums[q][i]);
      }
    }
  }

  auto* out = static_cast<Element*>(args.out) + query_offset;
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    if (warp_query + q >= num_queries) return;
    const float inverse = 1.0f / totals[q];
#pragma unroll
    for (int i = 0; i < kDims; ++i) {
      const int d = i * kWarpLanes + lane;
      if (d < head_dim) out[(warp_query + q) * query_stride + d] = kernels::RoundTo<Element>(sums[q][i] * inverse);
    }
  }
}

template <typename Element, int kDims, int kQueries>
void LaunchFor(const kernels::SegmentAttentionArgs& args, cudaStream_t stream) {
  const auto kernel = SegmentAttentionKernel<Element, kDims, kQueries>;
  constexpr int kSharedBytes = sizeof(Tiles<kDims, kQueries>);
  // More than 48 KiB must be asked for; a failure shows as the launch's.
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  const bool wide = IsAligned(static_cast<const Element*>(args.queries), args.head_dim, kQuad) &&
                    IsAligned(static_cast<const Element*>(args.keys), args.head_dim, kQuad) &&
                    IsAligned(static_cast<const Element*>(args.values), args.head_dim, kQuad);
  const std::int64_t query_blocks = CeilDivide(args.max_queries, kWarps * kQueries);
  const std::int64_t num_blocks =
      args.head_dim <= kernels::kMaxHeadDim ? args.num_segments * args.num_heads * query_blocks : kRefused;
  Launch(kernel, num_blocks, kLanes, kSharedBytes, stream, args, static_cast<unsigned>(query_blocks), wide);
}

}  // namespace

void SegmentAttention(const kernels::SegmentAttentionArgs& args, cudaStream_t stream) {
  if (args.num_segments == 0 || args.max_queries == 0) return;
  WithElement(args.type, [&]<typename Element>(Element) {
    if (args.head_dim <= 32) {
      LaunchFor<Element, 1, 8>(args, stream);
    } else if (args.head_dim <= 64) {
      LaunchFor<Element, 2, 8>(args, stream);
    } else if (args.head_dim <= 96) {
      LaunchFor<Element, 3, 8>(args, stream);
    } else if (args.head_dim <= 128) {
      LaunchFor<Element, 4, 8>(args, stream);
    } else if (args.head_dim <= 256) {
      LaunchFor<Element, 8, 4>(args, stream);
    } else {
      LaunchFor<Element, 16, 2>(args, stream);
    }
  });
}

}  // namespace prefscore::cuda
