// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/learning_cells.h"

#include "gtest/gtest.h"

namespace prefscore {
namespace {

constexpr auto kYes = Verdict::kLearning;
constexpr auto kNo = Verdict::kNoLearning;
constexpr auto kOpen = Verdict::kUnspecified;

TEST(LearningCells, HaveThePostsVerdicts) {
  //                                 policy right       policy tie            policy wrong
  constexpr Verdict kLargeGamma[] = {kYes, kOpen, kNo, kOpen, kOpen, kOpen, kYes, kOpen, kNo};
  constexpr Verdict kZeroGamma[] = {kNo, kOpen, kNo, kOpen, kOpen, kOpen, kYes, kOpen, kYes};
  for (std::size_t cell = 0; cell < kNumCells; ++cell) {
    EXPECT_EQ(VerdictAtLargeGamma(cell), kLargeGamma[cell]) << cell;
    EXPECT_EQ(VerdictAtZeroGamma(cell), kZeroGamma[cell]) << cell;
    EXPECT_EQ(IsDiagonal(cell), cell == 0 || cell == 4 || cell == 8) << cell;
  }
}

}  // namespace
}  // namespace prefscore
