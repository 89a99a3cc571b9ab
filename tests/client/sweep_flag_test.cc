// SPDX-License-Identifier: Apache-2.0
#include "client/cli/sweep_flag.h"

#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/diagnostics/analysis_options.h"

namespace prefscore::cli {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SweepFlagTest, ReadsListsAndRanges) {
  const auto grid = ParseSweepFlag("beta=0.05/0.1:0.5:3,gamma_over_beta=0/0.1:10:3:log/1e2");
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_THAT(grid->betas(), ElementsAre(0.05, 0.1, DoubleNear(0.3, 1e-15), 0.5));
  EXPECT_THAT(grid->gamma_over_betas(), ElementsAre(0, 0.1, DoubleNear(1, 1e-15), 10, 100)) << "ends are exact";
}

TEST(SweepFlagTest, WhatIsLeftOutHasItsDefault) {
  const AnalysisOptions defaults;
  const auto grid = ParseSweepFlag("ratio=1");
  ASSERT_TRUE(grid.ok()) << grid.status();
  EXPECT_EQ(grid->betas_size(), static_cast<int>(defaults.sweep_betas.size()));
  EXPECT_THAT(grid->gamma_over_betas(), ElementsAre(1));
  EXPECT_EQ(ParseSweepFlag("none")->betas_size(), 0);
}

TEST(SweepFlagTest, FaultsAreNamed) {
  const std::pair<const char*, const char*> faults[] = {
      {"", "neither beta=LIST"},
      {"gamma=1", "'gamma=1' is neither"},
      {"beta=", "'' is not a finite number"},
      {"beta=x", "'x' is not a finite number"},
      {"beta=inf", "'inf' is not a finite number"},
      {"beta=1,beta=2", "beta is given twice"},
      {"beta=1:2", "'1:2' is not FROM:TO:COUNT"},
      {"beta=1:2:3:exp", "is not FROM:TO:COUNT"},
      {"beta=1:2:1", "'1' is not a count"},
      {"beta=1:2:2.5", "'2.5' is not a count"},
      {"beta=1:2:9999", "'9999' is not a count"},
      {"ratio=0:2:3:log", "both ends > 0"},
  };
  for (const auto& [flag, message] : faults) {
    EXPECT_THAT(std::string(ParseSweepFlag(flag).status().message()), HasSubstr(message)) << flag;
  }
}

}  // namespace
}  // namespace prefscore::cli
