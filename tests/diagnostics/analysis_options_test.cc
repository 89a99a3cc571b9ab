// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/analysis_options.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

// The error of the default options with one change.
template <typename Change>
absl::Status ErrorOf(Change change) {
  AnalysisOptions options;
  change(options);
  return Validate(options);
}

TEST(AnalysisOptions, DefaultsAreValid) {
  const AnalysisOptions options;
  EXPECT_TRUE(Validate(options).ok());
  ASSERT_EQ(options.objectives.size(), 1u);
  EXPECT_EQ(options.objectives[0].label(), "sigmoid:beta=0.1,gamma=0.1");
  EXPECT_EQ(options.sweep_betas.size(), 10u);
  EXPECT_EQ(options.sweep_gamma_over_betas.size(), 10u);
}

TEST(AnalysisOptions, ErrorsNameTheField) {
  const auto field = [](auto change) { return FieldOf(ErrorOf(change)); };
  EXPECT_EQ(field([](auto& o) { o.objectives.clear(); }), "scoring.objectives");
  EXPECT_EQ(field([](auto& o) { o.objectives.push_back(*Objective::Create({.name = "beta_dpo"})); }),
            "scoring.objectives[1]");
  EXPECT_EQ(field([](auto& o) { o.sweep_betas[3] = 0; }), "sweep.betas[3]");
  EXPECT_EQ(field([](auto& o) { o.sweep_betas[0] = INFINITY; }), "sweep.betas[0]");
  EXPECT_EQ(field([](auto& o) { o.sweep_betas.clear(); }), "sweep.betas");
  EXPECT_EQ(field([](auto& o) { o.sweep_gamma_over_betas.clear(); }), "sweep.gamma_over_betas");
  EXPECT_EQ(field([](auto& o) { o.sweep_gamma_over_betas[9] = -1; }), "sweep.gamma_over_betas[9]");
  EXPECT_EQ(field([](auto& o) { o.sweep_gamma_over_betas[0] = std::nan(""); }), "sweep.gamma_over_betas[0]");
  EXPECT_EQ(field([](auto& o) { o.sweep_gamma_over_betas[1] = 1e308; }), "sweep.gamma_over_betas[1]");  // times 5
  EXPECT_EQ(field([](auto& o) { o.sweep_betas.resize(103, 1.0); }), "sweep");
  EXPECT_EQ(field([](auto& o) { o.temper_exponents[2] = 0; }), "temper_exponents[2]");
  EXPECT_EQ(field([](auto& o) { o.temper_exponents = {1e-320}; }), "temper_exponents[0]");  // gamma over it
  EXPECT_EQ(field([](auto& o) { o.temper_exponents.resize(33, 1.0); }), "temper_exponents");
  EXPECT_EQ(field([](auto& o) { o.learning_threshold = 1; }), "learning_threshold");
  EXPECT_EQ(field([](auto& o) { o.saturation_threshold = 0; }), "saturation_threshold");
  EXPECT_EQ(field([](auto& o) { o.max_slices = 0; }), "max_slices");
  EXPECT_EQ(field([](auto& o) { o.max_slices = 1025; }), "max_slices");
  EXPECT_EQ(field([](auto& o) { o.num_listed_pairs = 1001; }), "num_listed_pairs");
  EXPECT_EQ(field([](auto& o) { o.preference_probabilities[1] = 0.5; }), "preference_probabilities[1]");
  EXPECT_EQ(field([](auto& o) { o.preference_probabilities.resize(33, 0.7); }), "preference_probabilities");
}

TEST(AnalysisOptions, ErrorsNameValueAndLimit) {
  EXPECT_EQ(std::string(ErrorOf([](auto& o) { o.sweep_betas[3] = -2; }).message()),
            "sweep.betas[3]: is -2; it must be finite and > 0");
  EXPECT_EQ(std::string(ErrorOf([](auto& o) { o.max_slices = 0; }).message()),
            "max_slices: is 0; it must be 1 to 1024");
  EXPECT_THAT(
      std::string(ErrorOf([](auto& o) { o.objectives = {*Objective::Create({.name = "kto_pair"})}; }).message()),
      HasSubstr("kto_pair:"));
}

TEST(AnalysisOptions, NoSweepIsValid) {
  EXPECT_TRUE(ErrorOf([](auto& o) { o.sweep_betas.clear(), o.sweep_gamma_over_betas.clear(); }).ok());
}

}  // namespace
}  // namespace prefscore
