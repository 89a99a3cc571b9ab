// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/distinct_counter.h"

#include <string>

#include "gtest/gtest.h"

namespace prefscore {
namespace {

TEST(DistinctCounter, IsExactBelowTwiceItsCapacity) {
  DistinctCounter counter;
  EXPECT_EQ(counter.Count(), 0u);
  for (std::size_t i = 0; i < 2 * DistinctCounter::kCapacity - 1; ++i) {
    counter.Add(std::to_string(i));
    counter.Add(std::to_string(i / 2));
  }
  EXPECT_EQ(counter.Count(), 2 * DistinctCounter::kCapacity - 1);
}

TEST(DistinctCounter, EstimatesBeyondAndMergesToTheSame) {
  constexpr std::size_t kNumTexts = 1000000;
  DistinctCounter all, even, odd;
  for (std::size_t i = 0; i < kNumTexts; ++i) {
    all.Add(std::to_string(i));
    (i % 2 == 0 ? even : odd).Add(std::to_string(kNumTexts - 1 - i));
  }
  EXPECT_NEAR(static_cast<double>(all.Count()), kNumTexts, 0.02 * kNumTexts);  // five standard errors
  odd.Merge(even);
  EXPECT_EQ(odd.Count(), all.Count());
}

}  // namespace
}  // namespace prefscore
