// SPDX-License-Identifier: Apache-2.0
#include "server/kernels/cast.h"
#include "server/kernels/device_rows.cuh"

namespace prefscore::cuda {
namespace {

constexpr int kTile = 32;
constexpr int kTileRows = 8;  // rows of a tile that the block does at a time

// One block per tile of 32 x 32 values, through shared memory: reads run along the source's short stride, writes along
// the rows of `out`.
template <typename Element>
__global__ void __launch_bounds__(kTile* kTileRows)
    CastMatrixKernel(const kernels::CastMatrixArgs args, std::int64_t tiles_per_row) {
  __shared__ float tile[kTile][kTile + 1];
  const std::int64_t first_row = blockIdx.x / tiles_per_row * kTile;
  const std::int64_t first_column = blockIdx.x % tiles_per_row * kTile;
  const bool along_rows = args.column_stride <= args.row_stride;
  for (int i = threadIdx.y; i < kTile; i += kTileRows) {
    const int row = along_rows ? i : static_cast<int>(threadIdx.x);
    const int column = along_rows ? static_cast<int>(threadIdx.x) : i;
    if (first_row + row < args.num_rows && first_column + column < args.num_columns) {
      const std::int64_t index = (first_row + row) * args.row_stride + (first_column + column) * args.column_stride;
      tile[row][column] = kernels::SourceValue(args.source_type, args.source, index);
    }
  }
  __syncthreads();
  auto* out = static_cast<Element*>(args.out);
  for (int i = threadIdx.y; i < kTile; i += kTileRows) {
    const std::int64_t row = first_row + i;
    const std::int64_t column = first_column + threadIdx.x;
    if (row < args.num_rows && column < args.num_columns) {
      out[row * args.out_stride + column] = kernels::RoundTo<Element>(tile[i][threadIdx.x]);
    }
  }
}

}  // namespace

void CastMatrix(const kernels::CastMatrixArgs& args, cudaStream_t stream) {
  if (args.num_rows == 0 || args.num_columns == 0) return;
  WithElement(args.type, [&]<typename Element>(Element) {
    const std::int64_t tiles_per_row = CeilDivide(args.num_columns, kTile);
    Launch(CastMatrixKernel<Element>, CeilDivide(args.num_rows, kTile) * tiles_per_row, dim3(kTile, kTileRows), 0,
           stream, args, tiles_per_row);
  });
}

}  // namespace prefscore::cuda
