// SPDX-License-Identifier: Apache-2.0
#include "client/cli/objective_flag.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore::cli {
namespace {

using ::testing::HasSubstr;

TEST(ObjectiveFlagTest, NameAndParameters) {
  const auto objective = ParseObjectiveFlag("sigmoid:beta=0.1,gamma=5e-2");
  ASSERT_TRUE(objective.ok()) << objective.status();
  EXPECT_EQ(objective->name(), "sigmoid");
  EXPECT_EQ(objective->beta(), 0.1);
  EXPECT_EQ(objective->gamma(), 0.05);
}

TEST(ObjectiveFlagTest, AbsentParametersStayAbsent) {
  EXPECT_FALSE(ParseObjectiveFlag("sigmoid")->has_beta());
  EXPECT_FALSE(ParseObjectiveFlag("sigmoid:gamma=0")->has_beta());
  EXPECT_TRUE(ParseObjectiveFlag("sigmoid:gamma=0")->has_gamma());
}

TEST(ObjectiveFlagTest, FormattingReadsBack) {
  for (const char* flag :
       {"sigmoid", "margin_hinge:beta=0.3", "sigmoid:beta=0.1,gamma=0.05", "sigmoid:gamma=1e-07"}) {
    EXPECT_EQ(FormatObjective(*ParseObjectiveFlag(flag)), flag);
  }
}

TEST(ObjectiveFlagTest, FaultsAreNamed) {
  const std::pair<const char*, const char*> faults[] = {
      {"", "has no name"},
      {":beta=1", "has no name"},
      {"sigmoid:", "'' is not a parameter; known: beta, gamma"},
      {"sigmoid:alpha=1", "'alpha' is not a parameter"},
      {"sigmoid:beta", "beta has no value"},
      {"sigmoid:beta=", "beta is not a finite number: ''"},
      {"sigmoid:beta=0.1x", "beta is not a finite number: '0.1x'"},
      {"sigmoid:beta=nan", "beta is not a finite number: 'nan'"},
      {"sigmoid:beta=1,beta=2", "beta is given twice"},
  };
  for (const auto& [flag, message] : faults) {
    const auto objective = ParseObjectiveFlag(flag);
    EXPECT_TRUE(absl::IsInvalidArgument(objective.status())) << flag;
    EXPECT_THAT(std::string(objective.status().message()), HasSubstr(message)) << flag;
  }
}

}  // namespace
}  // namespace prefscore::cli
