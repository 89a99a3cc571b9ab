// SPDX-License-Identifier: Apache-2.0
// The cells of the learning table: pairs by how policy and reference rank them, and what K. Cho's post "Continued
// musing on DPO" says of each.
//
//                 gamma >> 0                             gamma = 0
//                 reference right   reference wrong      reference right   reference wrong
//   policy right  learning (*)      no learning          no learning (*)   no learning
//   policy wrong  learning          no learning (*)      learning          learning (*)
//
// (*): the diagonal, where all pairs of a policy are that is its reference. Of ties the post says nothing.
#pragma once

#include <cstddef>

#include "server/diagnostics/report.h"

namespace prefscore {

inline constexpr std::size_t kNumRankings = 3;
inline constexpr std::size_t kNumCells = kNumRankings * kNumRankings;
// Where pairs without reference log-probs are put, after all cells.
inline constexpr std::size_t kNoReferenceCell = kNumCells;
inline constexpr std::size_t kNumCellGroups = kNumCells + 1;

// Cells in the order of the table: policy right, tie, wrong; in each, reference right, tie, wrong.
constexpr Ranking PolicyRanking(std::size_t cell) { return static_cast<Ranking>(cell / kNumRankings); }
constexpr Ranking ReferenceRanking(std::size_t cell) { return static_cast<Ranking>(cell % kNumRankings); }

constexpr bool IsDiagonal(std::size_t cell) { return PolicyRanking(cell) == ReferenceRanking(cell); }

constexpr bool HasTie(std::size_t cell) {
  return PolicyRanking(cell) == Ranking::kTie || ReferenceRanking(cell) == Ranking::kTie;
}

constexpr Verdict VerdictAtLargeGamma(std::size_t cell) {
  if (HasTie(cell)) return Verdict::kUnspecified;
  return ReferenceRanking(cell) == Ranking::kRight ? Verdict::kLearning : Verdict::kNoLearning;
}

constexpr Verdict VerdictAtZeroGamma(std::size_t cell) {
  if (HasTie(cell)) return Verdict::kUnspecified;
  return PolicyRanking(cell) == Ranking::kWrong ? Verdict::kLearning : Verdict::kNoLearning;
}

}  // namespace prefscore
