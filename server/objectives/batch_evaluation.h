// SPDX-License-Identifier: Apache-2.0
// Evaluation of one definition, or of a weighted sum, over columns of pairs: block by block, so that a block stays in
// the first cache from its log-probs to its values. The insides of Objective::Evaluate.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "server/objectives/objective.h"

namespace prefscore {

inline constexpr std::size_t kPairsPerBlock = 128;

using KernelParameterArray = std::array<double, kNumKernelParameters>;

void EvaluatePairs(const ObjectiveDefinition& definition, const KernelParameterArray& parameters,
                   const PairColumns& pairs, const ObjectiveColumns& values);
void EvaluatePairsFast(const ObjectiveDefinition& definition, const KernelParameterArray& parameters,
                       const PairColumns& pairs, const FastOutput& values);

// A batch objective: looks at all pairs first.
void EvaluateBatch(const ObjectiveDefinition& definition, KernelParameterArray parameters, const PairColumns& pairs,
                   const ObjectiveColumns& values, BatchState* state);

// Losses and derivatives are summed by weight; all else is the first term's.
void EvaluateSum(const std::vector<std::pair<double, Objective>>& terms, const PairColumns& pairs,
                 const ObjectiveColumns& values, BatchState* state);
void EvaluateSumFast(const std::vector<std::pair<double, Objective>>& terms, const PairColumns& pairs,
                     const FastOutput& values);

}  // namespace prefscore
