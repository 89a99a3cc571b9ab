// SPDX-License-Identifier: Apache-2.0
// Memory for one block of pairs on its way into totals: an Analyzer has one, for all its slices.
#pragma once

#include <array>
#include <memory>

#include "server/diagnostics/pair_block.h"
#include "server/diagnostics/point_totals.h"

namespace prefscore {

// An objective's values of a block, and what follows from them. [num_pairs] each.
struct ObjectiveBlock {
  std::array<BlockColumn, kNumObjectiveColumns> values;
  BlockColumn gradient_mass;
  BlockColumn reward_margin;
  BlockColumn scaled_reference_margin;  // gamma * h0
  BlockColumn threshold;                // softplus(gamma * h0)
};

struct Workspace {
  SortedBlock block;
  std::unique_ptr<ObjectiveBlock> objective = std::make_unique<ObjectiveBlock>();
  std::unique_ptr<PointBlock> point = std::make_unique<PointBlock>();
  std::unique_ptr<std::array<BlockColumn, 3>> temporary = std::make_unique<std::array<BlockColumn, 3>>();
};

}  // namespace prefscore
