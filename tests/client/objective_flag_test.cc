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

TEST(ObjectiveFlagTest, ReadsParametersAndSums) {
  const auto choice = ParseObjectiveFlag("sigmoid:f_divergence_type=alpha_divergence,f_alpha_divergence_coef=0.25");
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_EQ(choice->parameters().at("f_divergence_type").text(), "alpha_divergence");
  EXPECT_EQ(choice->parameters().at("f_alpha_divergence_coef").number(), 0.25);
  const auto sum = ParseObjectiveFlag("0.8*sigmoid:beta=1e+2,gamma=2e-1+2e-1*bco_pair:delta=1+sft");
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->name(), "");
  ASSERT_EQ(sum->terms_size(), 3);
  EXPECT_EQ(sum->terms(0).weight(), 0.8);
  EXPECT_EQ(sum->terms(0).objective().beta(), 100);
  EXPECT_EQ(sum->terms(0).objective().gamma(), 0.2);
  EXPECT_EQ(sum->terms(1).weight(), 0.2);
  EXPECT_EQ(sum->terms(2).weight(), 1);
  EXPECT_EQ(sum->terms(2).objective().name(), "sft");
}

TEST(ObjectiveFlagTest, FormattingReadsBack) {
  for (const char* flag :
       {"sigmoid", "margin_hinge:beta=0.3", "sigmoid:beta=0.1,gamma=0.05", "sigmoid:gamma=1e-07",
        "robust:beta=0.1,label_smoothing=0.2", "0.8*sigmoid:beta=100+0.2*bco_pair:delta=1+1*sft",
        "sigmoid:f_divergence_type=forward_kl"}) {
    EXPECT_EQ(FormatObjective(*ParseObjectiveFlag(flag)), flag);
  }
}

TEST(ObjectiveFlagTest, FaultsAreNamed) {
  const std::pair<const char*, const char*> faults[] = {
      {"", "has no name"},
      {":beta=1", "has no name"},
      {"sigmoid:", "'' is not PARAMETER=VALUE"},
      {"sigmoid:=1", "'=1' is not PARAMETER=VALUE"},
      {"robust:label_smoothing", "label_smoothing has no value"},
      {"robust:label_smoothing=", "label_smoothing is not a finite number: ''"},
      {"robust:label_smoothing=inf", "label_smoothing is not a finite number: 'inf'"},
      {"robust:label_smoothing=0,label_smoothing=1", "label_smoothing is given twice"},
      {"x*sigmoid", "the weight is not a finite number: 'x'"},
      {"sigmoid+", "has no name"},
      {"0.5*", "has no name"},
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
