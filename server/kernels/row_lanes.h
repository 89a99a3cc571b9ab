// SPDX-License-Identifier: Apache-2.0
// How the lanes (CUDA threads) of a block share a row. It decides the order of every sum over a row, and so its bits:
// a function of the row's width alone. Kernels and twins agree through this file.
//
// In a row that is summed, lane l takes quads l, l + lanes, l + 2 lanes ...: four neighbouring values each, whether or
// not they can be loaded at once. A sum over lanes: within each warp by halves (lane ^ 16, 8, 4, 2, 1), then over warps
// in order.
#pragma once

#include <cstdint>

namespace prefscore::kernels {

inline constexpr int kWarpLanes = 32;
inline constexpr int kQuad = 4;

// Lanes of a row that is normalised: two quads each where possible.
constexpr int RowLanes(std::int64_t width) {
  int lanes = kWarpLanes;
  while (lanes < 1024 && lanes * 2 * kQuad < width) lanes *= 2;
  return lanes;
}

// The widest row: its lanes hold 8 quads each in registers.
inline constexpr std::int64_t kMaxRowWidth = 1024 * 8 * kQuad;

// PrepareHeads: lanes of a row. A head's sum takes one warp, value by value; that of a whole row all lanes.
inline constexpr int kHeadLanes = 256;

// HeadTile: lanes of a row, and the logits of one step: sixteen a lane.
inline constexpr int kLogitLanes = 256;
inline constexpr std::int64_t kLogitStep = kLogitLanes * 4 * kQuad;

// SegmentAttention: keys of one step of the online softmax, a warp's lanes. Steps start at multiples of it from the
// segment's first key.
inline constexpr int kKeyStep = kWarpLanes;

// Its largest head.
inline constexpr std::int64_t kMaxHeadDim = 512;

}  // namespace prefscore::kernels
