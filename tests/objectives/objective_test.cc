// SPDX-License-Identifier: Apache-2.0
// Objectives against 40-digit arithmetic (tests/golden/make_objective_goldens.py), in their limits, and refused.
#include "server/objectives/objective.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

constexpr double kRelativeTolerance = 1e-12;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Equal to the relative tolerance; below the smallest normal double, where no relative promise can hold, to its last
// bit.
::testing::AssertionResult Agrees(double actual, double golden) {
  const double error = std::fabs(actual - golden);
  const double allowed =
      std::fmax(kRelativeTolerance * std::fabs(golden), std::numeric_limits<double>::denorm_min());
  if (error <= allowed) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << actual << " instead of " << golden << ", relative error "
                                       << error / std::fabs(golden);
}

nlohmann::json Goldens() {
  std::ifstream file(std::string(PREFSCORE_GOLDEN_FOLDER) + "/objectives.json");
  return nlohmann::json::parse(file);
}

PairLogProbs LogProbs(const nlohmann::json& point) {
  const std::vector<double> logps = point.at("logps");
  return {logps.at(0), logps.at(1), logps.at(2), logps.at(3)};
}

// A pair with logit exactly z at beta = 1, gamma = 0.
PairLogProbs WithLogit(double z) {
  return {.policy_chosen_logp = std::fmin(z, 0.0), .policy_rejected_logp = std::fmin(-z, 0.0)};
}

ObjectiveValue EvaluateAtLogit(ObjectiveKind kind, double z) {
  return Evaluate({.kind = kind, .beta = 1.0, .gamma = 0.0}, WithLogit(z));
}

TEST(ObjectiveTest, EqualsHighPrecisionArithmetic) {
  const nlohmann::json goldens = Goldens();
  ASSERT_GE(goldens.size(), 300u);
  for (const nlohmann::json& point : goldens) {
    SCOPED_TRACE(point.dump());
    const PairLogProbs logps = LogProbs(point);
    for (const ObjectiveKind kind : {ObjectiveKind::kSigmoid, ObjectiveKind::kMarginHinge}) {
      const Objective objective = {.kind = kind, .beta = point.at("beta"), .gamma = point.at("gamma")};
      const ObjectiveValue value = Evaluate(objective, logps);
      EXPECT_TRUE(Agrees(value.logit, point.at("logit")));
      EXPECT_TRUE(Agrees(value.chosen_reward, point.at("chosen_reward")));
      EXPECT_TRUE(Agrees(value.rejected_reward, point.at("rejected_reward")));
      EXPECT_TRUE(Agrees(value.required_margin, point.at("required_margin")));
      EXPECT_TRUE(Agrees(value.gradient_weight, point.at("gradient_weight")));
      EXPECT_TRUE(Agrees(value.loss, point.at(std::string(ObjectiveName(kind)) + "_loss")));
    }
  }
}

TEST(ObjectiveTest, MarginsAreDifferencesOfTheFourLogProbs) {
  const PairMargins margins = ComputeMargins({-1.5, -4.0, -2.0, -3.25});
  EXPECT_EQ(margins.chosen_logratio, 0.5);
  EXPECT_EQ(margins.rejected_logratio, -0.75);
  EXPECT_EQ(margins.policy_margin, 2.5);
  EXPECT_EQ(margins.reference_margin, 1.25);
}

TEST(ObjectiveTest, IsExactInTheLimits) {
  for (const double z : {1e3, 1e4, 1e5, 1e6}) {
    const ObjectiveValue won = EvaluateAtLogit(ObjectiveKind::kSigmoid, z);
    EXPECT_EQ(won.loss, 0.0) << z;
    EXPECT_EQ(won.gradient_weight, 0.0) << z;
    const ObjectiveValue lost = EvaluateAtLogit(ObjectiveKind::kSigmoid, -z);
    EXPECT_EQ(lost.loss, z);
    EXPECT_EQ(lost.gradient_weight, 1.0) << z;
    EXPECT_EQ(EvaluateAtLogit(ObjectiveKind::kMarginHinge, z).loss, 0.0);
    EXPECT_EQ(EvaluateAtLogit(ObjectiveKind::kMarginHinge, -z).loss, z);
  }
  const ObjectiveValue undecided = EvaluateAtLogit(ObjectiveKind::kSigmoid, 0.0);
  EXPECT_EQ(undecided.loss, std::log(2.0));
  EXPECT_EQ(undecided.gradient_weight, 0.5);
}

TEST(ObjectiveTest, FallsAsTheLogitGrows) {
  for (const ObjectiveKind kind : {ObjectiveKind::kSigmoid, ObjectiveKind::kMarginHinge}) {
    ObjectiveValue previous = EvaluateAtLogit(kind, -2e6);
    for (double x = -20; x <= 20; x += 0.01) {
      const ObjectiveValue value = EvaluateAtLogit(kind, std::sinh(x * std::asinh(1e6) / 20));
      EXPECT_LE(value.loss, previous.loss) << x;
      EXPECT_LE(value.gradient_weight, previous.gradient_weight) << x;
      EXPECT_GE(value.loss, 0.0) << x;
      previous = value;
    }
  }
}

TEST(ObjectiveTest, GradientWeightIsTheSlopeOfTheLoss) {
  const double step = 1e-5;
  for (const double z : {-30.0, -3.0, -0.5, 0.0, 0.5, 3.0, 12.0}) {
    const double slope = (EvaluateAtLogit(ObjectiveKind::kSigmoid, z + step).loss -
                          EvaluateAtLogit(ObjectiveKind::kSigmoid, z - step).loss) /
                         (2 * step);
    EXPECT_NEAR(EvaluateAtLogit(ObjectiveKind::kSigmoid, z).gradient_weight, -slope, 1e-9) << z;
  }
}

TEST(ObjectiveTest, HingeIsZeroFromTheRequiredMarginOn) {
  const Objective objective = {.kind = ObjectiveKind::kMarginHinge, .beta = 0.5, .gamma = 0.25};
  PairLogProbs logps = {-2.0, -3.0, -1.0, -3.0};  // h = 1, h0 = 2: just met
  EXPECT_EQ(Evaluate(objective, logps).required_margin, 1.0);
  EXPECT_EQ(Evaluate(objective, logps).loss, 0.0);
  EXPECT_FALSE(std::signbit(Evaluate(objective, logps).loss));
  logps.policy_chosen_logp = -2.5;
  EXPECT_EQ(Evaluate(objective, logps).loss, 0.25);
}

TEST(ObjectiveTest, OverflowIsInfiniteNotNan) {
  const ObjectiveValue value =
      Evaluate({.beta = 1e300, .gamma = 0.1}, {.policy_chosen_logp = -1e10, .reference_chosen_logp = -1});
  EXPECT_EQ(value.logit, -kInfinity);
  EXPECT_EQ(value.loss, kInfinity);
  EXPECT_EQ(value.gradient_weight, 1.0);
}

TEST(ValidateTest, RefusesBadParametersByNameAndValue) {
  EXPECT_TRUE(Validate({.beta = 0.1, .gamma = 0.0}).ok());
  EXPECT_TRUE(Validate({.beta = 1e-300, .gamma = 1e300}).ok());
  for (const double beta : {0.0, -0.0, -1.0, kNan, kInfinity}) {
    const absl::Status status = Validate({.beta = beta, .gamma = 0.1});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << beta;
    EXPECT_THAT(std::string(status.message()), HasSubstr("beta is ")) << beta;
    EXPECT_THAT(std::string(status.message()), HasSubstr("> 0")) << beta;
  }
  for (const double gamma : {-1e-300, -1.0, kNan, kInfinity}) {
    const absl::Status status = Validate({.beta = 0.1, .gamma = gamma});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << gamma;
    EXPECT_THAT(std::string(status.message()), HasSubstr("gamma is ")) << gamma;
    EXPECT_THAT(std::string(status.message()), HasSubstr(">= 0")) << gamma;
  }
  EXPECT_THAT(std::string(Validate({.beta = -0.25}).message()), HasSubstr("-0.25"));
}

TEST(ObjectiveNameTest, NamesRoundTripAndUnknownOnesListTheKnown) {
  for (const ObjectiveKind kind : {ObjectiveKind::kSigmoid, ObjectiveKind::kMarginHinge}) {
    EXPECT_EQ(*ParseObjectiveName(ObjectiveName(kind)), kind);
  }
  const absl::Status status = ParseObjectiveName("Sigmoid").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'Sigmoid'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("sigmoid, margin_hinge"));
}

}  // namespace
}  // namespace prefscore
