// SPDX-License-Identifier: Apache-2.0
// Objectives in their limits, their parameters, sums and batches. Their numbers are held to references in Python
// (test_against_mpmath.py, test_against_trl.py).
#include "server/objectives/objective.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/objectives/registry.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Objective Make(const std::string& name, std::map<std::string, std::variant<double, std::string>> parameters = {}) {
  auto objective = Objective::Create({.name = name, .parameters = std::move(parameters)});
  EXPECT_TRUE(objective.ok()) << objective.status();
  return *std::move(objective);
}

ObjectiveValue EvaluateOne(const Objective& objective, const PairInputs& pair) {
  return Evaluate(objective, std::vector<PairInputs>{pair})[0];
}

// A pair with logit exactly z at beta = 1, gamma = 0.
PairInputs WithLogit(double z) {
  return {.logps = {.policy_chosen_logp = std::fmin(z, 0.0), .policy_rejected_logp = std::fmin(-z, 0.0)}};
}

ObjectiveValue EvaluateAtLogit(const std::string& name, double z) {
  return EvaluateOne(Make(name, {{"beta", 1.0}, {"gamma", 0.0}}), WithLogit(z));
}

// Everything that any objective needs.
PairInputs FullPair(double shift = 0) {
  return {.logps = {-20.0 - shift, -31.0, -22.0, -29.5 - shift},
          .num_chosen_tokens = 9,
          .num_rejected_tokens = 12,
          .score_gap = 1.5,
          .head_logps = {-20.0 - shift, -25.0, -22.0, -24.0}};
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
    const ObjectiveValue won = EvaluateAtLogit("sigmoid", z);
    EXPECT_EQ(won.loss, 0.0) << z;
    EXPECT_EQ(won.gradient_weight, 0.0) << z;
    EXPECT_EQ(won.d_loss_d_policy_chosen_logp, 0.0) << z;
    const ObjectiveValue lost = EvaluateAtLogit("sigmoid", -z);
    EXPECT_EQ(lost.loss, z);
    EXPECT_EQ(lost.gradient_weight, 1.0) << z;
    EXPECT_EQ(lost.d_loss_d_policy_chosen_logp, -1.0) << z;
    EXPECT_EQ(EvaluateAtLogit("margin_hinge", z).loss, 0.0);
    EXPECT_EQ(EvaluateAtLogit("margin_hinge", -z).loss, z);
  }
  const ObjectiveValue undecided = EvaluateAtLogit("sigmoid", 0.0);
  EXPECT_EQ(undecided.loss, std::log(2.0));
  EXPECT_EQ(undecided.gradient_weight, 0.5);
}

TEST(ObjectiveTest, FallsAsTheLogitGrows) {
  for (const char* name : {"sigmoid", "margin_hinge", "hinge", "hypo"}) {
    ObjectiveValue previous = EvaluateAtLogit(name, -2e6);
    for (double x = -20; x <= 20; x += 0.01) {
      const ObjectiveValue value = EvaluateAtLogit(name, std::sinh(x * std::asinh(1e6) / 20));
      // Elementary functions are right to 2 units in the last place, so neighbours may swap theirs.
      EXPECT_LE(value.loss, previous.loss * (1 + 1e-15)) << name << " " << x;
      EXPECT_LE(value.gradient_weight, previous.gradient_weight * (1 + 1e-15)) << name << " " << x;
      EXPECT_GE(value.loss, 0.0) << name << " " << x;
      previous = value;
    }
  }
}

TEST(ObjectiveTest, HingeIsZeroFromTheRequiredMarginOn) {
  const Objective objective = Make("margin_hinge", {{"beta", 0.5}, {"gamma", 0.25}});
  PairInputs pair = {.logps = {-2.0, -3.0, -1.0, -3.0}};  // h = 1, h0 = 2: just met
  EXPECT_EQ(EvaluateOne(objective, pair).required_margin, 1.0);
  EXPECT_EQ(EvaluateOne(objective, pair).effective_margin, 0.0);
  EXPECT_EQ(EvaluateOne(objective, pair).loss, 0.0);
  EXPECT_FALSE(std::signbit(EvaluateOne(objective, pair).loss));
  EXPECT_EQ(EvaluateOne(objective, pair).d_loss_d_policy_chosen_logp, 0.0) << "the flat side of the kink";
  pair.logps.policy_chosen_logp = -2.5;
  EXPECT_EQ(EvaluateOne(objective, pair).loss, 0.25);
  EXPECT_EQ(EvaluateOne(objective, pair).d_loss_d_policy_chosen_logp, -0.5);
}

TEST(ObjectiveTest, OverflowIsInfiniteNotNan) {
  const ObjectiveValue value =
      EvaluateOne(Make("sigmoid", {{"beta", 1e300}, {"gamma", 0.1}}), {.logps = {-1e10, 0, -1, 0}});
  EXPECT_EQ(value.logit, -kInfinity);
  EXPECT_EQ(value.loss, kInfinity);
  EXPECT_EQ(value.gradient_weight, 1.0);
}

TEST(ObjectiveTest, APairsValueDoesNotDependOnItsNeighbours) {
  std::vector<PairInputs> pairs;
  for (int i = 0; i < 300; ++i) pairs.push_back(FullPair(0.37 * i));
  for (const ObjectiveDefinition* definition : AllObjectives()) {
    const Objective objective = Make(definition->name);
    if (objective.is_batch()) continue;
    const std::vector<ObjectiveValue> together = Evaluate(objective, pairs);
    for (const std::size_t i : {0, 5, 127, 128, 255, 299}) {
      const ObjectiveValue alone = EvaluateOne(objective, pairs[i]);
      EXPECT_EQ(alone.loss, together[i].loss) << definition->name << " " << i;
      EXPECT_EQ(alone.d_loss_d_policy_chosen_logp, together[i].d_loss_d_policy_chosen_logp) << definition->name;
      EXPECT_EQ(alone.d_loss_d_beta, together[i].d_loss_d_beta) << definition->name;
    }
  }
}

TEST(ObjectiveTest, TheFastFormAgrees) {
  std::vector<std::vector<double>> columns(kNumPairColumns);
  for (int i = 0; i < 200; ++i) {
    const PairInputs pair = FullPair(0.53 * i);
    const double values[kNumPairColumns] = {pair.logps.policy_chosen_logp,
                                            pair.logps.policy_rejected_logp,
                                            pair.logps.reference_chosen_logp,
                                            pair.logps.reference_rejected_logp,
                                            9,
                                            12,
                                            1.5,
                                            pair.head_logps.policy_chosen_logp,
                                            pair.head_logps.policy_rejected_logp,
                                            pair.head_logps.reference_chosen_logp,
                                            pair.head_logps.reference_rejected_logp};
    for (std::size_t column = 0; column < kNumPairColumns; ++column) columns[column].push_back(values[column]);
  }
  PairColumns pairs{.num_pairs = 200};
  for (std::size_t column = 0; column < kNumPairColumns; ++column) pairs.columns[column] = columns[column].data();
  std::vector<std::vector<double>> exact(kNumObjectiveColumns, std::vector<double>(200));
  ObjectiveColumns values;
  for (std::size_t column = 0; column < kNumObjectiveColumns; ++column) values.columns[column] = exact[column].data();
  std::vector<double> loss(200), logit(200), by_chosen(200), by_rejected(200);
  for (const ObjectiveDefinition* definition : AllObjectives()) {
    const Objective objective = Make(definition->name);
    if (objective.is_batch()) continue;
    objective.Evaluate(pairs, values);
    objective.EvaluateFast(pairs, loss.data(), logit.data(), by_chosen.data(), by_rejected.data());
    for (std::size_t i = 0; i < 200; ++i) {
      EXPECT_NEAR(loss[i], exact[kLoss][i], 1e-12 * (1 + std::fabs(exact[kLoss][i]))) << definition->name;
      EXPECT_NEAR(logit[i], exact[kLogit][i], 1e-12 * (1 + std::fabs(exact[kLogit][i]))) << definition->name;
      EXPECT_NEAR(by_chosen[i], exact[kLossByPolicyChosenLogp][i], 1e-12) << definition->name;
      EXPECT_NEAR(by_rejected[i], exact[kLossByPolicyRejectedLogp][i], 1e-12) << definition->name;
    }
  }
}

TEST(ObjectiveTest, BothInstructionSetsGiveTheSameBits) {
  if (!__builtin_cpu_supports("x86-64-v4")) GTEST_SKIP() << "this CPU has no AVX-512";
  // The pairs of a block of KernelInput, with rewards that need not fit the log-probs.
  std::vector<std::vector<double>> columns(kNumPairColumns, std::vector<double>(100));
  std::vector<std::vector<double>> rewards(5, std::vector<double>(100));
  for (int i = 0; i < 100; ++i) {
    for (std::size_t column = 0; column < kNumPairColumns; ++column)
      columns[column][i] = -std::exp(0.13 * i - 5 + column);
    columns[kNumChosenTokens][i] = 1 + i;
    columns[kNumRejectedTokens][i] = 1 + 3 * (i % 17);
    columns[kScoreGap][i] = 0.1 * (i + 1);
    for (int which = 0; which < 5; which += 2) rewards[which][i] = std::sinh(0.25 * (i - 50) + which);
  }
  for (const ObjectiveDefinition* definition : AllObjectives()) {
    std::vector<double> parameters(kNumKernelParameters, 0.3);
    for (std::size_t k = 0; k < NumParameters(*definition); ++k) {
      parameters[kOwn + k] = definition->parameters[k].choices != nullptr ? 0 : 0.25;
    }
    KernelInput input{};
    input.parameters = parameters.data();
    input.num_pairs = 100;
    for (std::size_t column = 0; column < kNumPairColumns; ++column) input.pairs[column] = columns[column].data();
    input.logit = rewards[0].data();
    input.chosen_reward = rewards[2].data();
    input.chosen_reward_low = rewards[1].data();
    input.rejected_reward = rewards[4].data();
    input.rejected_reward_low = rewards[3].data();
    std::vector<std::vector<double>> values[2];
    for (int set = 0; set < 2; ++set) {
      values[set].assign(kNumObjectiveColumns, std::vector<double>(100));
      double* pointers[kNumObjectiveColumns];
      for (std::size_t column = 0; column < kNumObjectiveColumns; ++column)
        pointers[column] = values[set][column].data();
      KernelsOf(*definition, set == 0 ? InstructionSet::kAvx2 : InstructionSet::kAvx512).evaluate(input, pointers);
    }
    EXPECT_EQ(values[0], values[1]) << definition->name;
  }
}

TEST(ObjectiveTest, AWeightedSumAddsLossesAndDerivatives) {
  const auto sum = Objective::Create(
      {.name = "", .terms = {{0.8, {.name = "sigmoid"}}, {0.2, {.name = "bco_pair"}}, {1.0, {.name = "sft"}}}});
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(sum->name(), "weighted_sum");
  EXPECT_EQ(sum->label(), "0.8*sigmoid:beta=0.1,gamma=0.1+0.2*bco_pair:beta=0.1,gamma=0.1+1*sft");
  EXPECT_TRUE(sum->needs_reference());
  const ObjectiveValue found = EvaluateOne(*sum, FullPair());
  const ObjectiveValue preset = EvaluateOne(Make("mpo"), FullPair());
  EXPECT_NEAR(found.loss, preset.loss, 1e-14 * preset.loss);
  EXPECT_NEAR(found.d_loss_d_policy_chosen_logp, preset.d_loss_d_policy_chosen_logp, 1e-15);
  EXPECT_NEAR(found.d_loss_d_policy_rejected_logp, preset.d_loss_d_policy_rejected_logp, 1e-15);
  EXPECT_EQ(found.logit, preset.logit);

  EXPECT_EQ(FieldOf(Objective::Create({.name = "", .terms = {{kNan, {.name = "sft"}}}}).status()), "terms[0].weight");
  EXPECT_EQ(
      FieldOf(Objective::Create({.name = "", .terms = {{1, {.name = "sft", .parameters = {{"beta", 1.0}}}}}}).status()),
      "terms[0].objective.beta");
}

TEST(ObjectiveTest, ATermWithoutReferenceDoesNotSeeThatOfTheSum) {
  const auto sum = Objective::Create({.name = "", .terms = {{1.0, {.name = "sigmoid"}}, {1.0, {.name = "simpo"}}}});
  ASSERT_TRUE(sum.ok()) << sum.status();
  EXPECT_EQ(EvaluateOne(*sum, FullPair()).d_loss_d_gamma, EvaluateOne(Make("sigmoid"), FullPair()).d_loss_d_gamma);
}

TEST(ObjectiveTest, OtherWeightsChangeNothingElse) {
  const Objective objective = Make("robust", {{"beta", 0.3}, {"gamma", 0.2}, {"label_smoothing", 0.125}});
  EXPECT_EQ(objective.WithBetaGamma(0.5, 0.0).label(), "robust:beta=0.5,gamma=0,label_smoothing=0.125");
  EXPECT_EQ(Make("sft").WithBetaGamma(0.5, 0.1).label(), "sft");
  EXPECT_EQ(Make("simpo").WithBetaGamma(0.5, 0.1).label(), "simpo:beta=0.5");
}

TEST(ObjectiveTest, GammaIsBetaUnlessGiven) {
  EXPECT_EQ(Make("sigmoid").beta(), 0.1);
  EXPECT_EQ(Make("sigmoid").gamma(), 0.1);
  EXPECT_EQ(Make("sigmoid", {{"beta", 0.7}}).gamma(), 0.7);
  EXPECT_EQ(Make("sigmoid", {{"beta", 0.7}, {"gamma", 0.0}}).gamma(), 0.0);
  EXPECT_EQ(Make("simpo").gamma(), 0.0);
  EXPECT_EQ(Make("sft").beta(), 1.0);
}

TEST(ObjectiveTest, BothMeaningsOfAlphaHaveAName) {
  const auto with = [](const char* name, double value) {
    return EvaluateOne(Make("sigmoid", {{"f_divergence_type", std::string("alpha_divergence")}, {name, value}}),
                       FullPair())
        .loss;
  };
  EXPECT_EQ(with("f_alpha_divergence_coef", 0.25), with("f_alpha_divergence_coef_trl_0_28", 0.75));
  EXPECT_NE(with("f_alpha_divergence_coef", 0.25), with("f_alpha_divergence_coef", 0.75));
  EXPECT_EQ(with("f_alpha_divergence_coef", 1.0), EvaluateOne(Make("sigmoid"), FullPair()).loss);
  const auto both = Objective::Create(
      {.name = "sigmoid", .parameters = {{"f_alpha_divergence_coef", 0.5}, {"f_alpha_divergence_coef_trl_0_28", 0.5}}});
  EXPECT_EQ(FieldOf(both.status()), "parameters.f_alpha_divergence_coef_trl_0_28");
}

TEST(ObjectiveTest, RefusesBadParametersByNameValueAndLimit) {
  const auto expect_refused = [](const std::string& objective, const std::string& parameter,
                                 std::variant<double, std::string> value, const std::string& field,
                                 const std::string& limit) {
    const absl::Status status = Objective::Create({.name = objective, .parameters = {{parameter, value}}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << objective << " " << parameter;
    EXPECT_EQ(FieldOf(status), field);
    EXPECT_THAT(std::string(status.message()), HasSubstr(limit));
  };
  for (const double beta : {0.0, -0.0, -1.0, kNan, kInfinity}) expect_refused("sigmoid", "beta", beta, "beta", "> 0");
  for (const double gamma : {-1e-300, -1.0, kNan, kInfinity}) expect_refused("hinge", "gamma", gamma, "gamma", ">= 0");
  expect_refused("sigmoid", "beta", -0.25, "beta", "-0.25");
  expect_refused("robust", "label_smoothing", 0.5, "parameters.label_smoothing", "< 0.5");
  expect_refused("exo_pair", "label_smoothing", 0.0, "parameters.label_smoothing", "> 0");
  expect_refused("cdpo", "label_smoothing", 0.75, "parameters.label_smoothing", "<= 0.5");
  expect_refused("cdpo", "label_smoothing", std::string("x"), "parameters.label_smoothing", "'x'");
  expect_refused("discopop", "discopop_tau", 0.0, "parameters.discopop_tau", "> 0");
  expect_refused("ld_dpo", "ld_alpha", 1.5, "parameters.ld_alpha", "<= 1");
  expect_refused("ld_dpo", "ld_models", std::string("both"), "parameters.ld_models", "policy_and_reference, policy");
  expect_refused("sigmoid", "f_divergence_type", 1.0, "parameters.f_divergence_type", "forward_kl");
  expect_refused("simpo", "gamma", 0.1, "gamma", "which takes beta, simpo_gamma");
  expect_refused("cdpo", "temperature", 0.1, "parameters.temperature", "label_smoothing");
  expect_refused("nca_pair", "f_divergence_type", std::string("forward_kl"), "parameters.f_divergence_type",
                 "not a parameter");
  EXPECT_TRUE(Objective::Create({.name = "sigmoid", .parameters = {{"beta", 1e-300}, {"gamma", 1e300}}}).ok());
}

TEST(ObjectiveTest, RefusesPairsThatLackWhatItNeeds) {
  const auto field = [](const std::string& name, PairInputs pair) { return FieldOf(Make(name).CheckPair(pair)); };
  PairInputs pair = FullPair();
  for (const ObjectiveDefinition* definition : AllObjectives()) EXPECT_EQ(field(definition->name, pair), "");
  pair.logps.policy_rejected_logp = 0.5;
  EXPECT_EQ(field("sft_sum", pair), "logps.policy_rejected_logp");
  pair = FullPair();
  pair.logps.reference_chosen_logp = kUnknown;
  EXPECT_EQ(field("sigmoid", pair), "logps.reference_chosen_logp");
  EXPECT_THAT(std::string(Make("sigmoid").CheckPair(pair).message()), HasSubstr("objective 'sigmoid' needs it"));
  EXPECT_EQ(field("simpo", pair), "") << "needs no reference";
  pair.logps.reference_chosen_logp = -kInfinity;
  EXPECT_EQ(field("sigmoid", pair), "logps.reference_chosen_logp");
  pair = FullPair();
  pair.num_rejected_tokens = kUnknown;
  EXPECT_EQ(field("ipo", pair), "num_rejected_tokens");
  EXPECT_EQ(field("ipo_sum", pair), "");
  EXPECT_EQ(field("sft", pair), "");
  pair = FullPair();
  pair.score_gap = 0;
  EXPECT_EQ(field("odpo", pair), "score_gap");
  pair = FullPair();
  pair.head_logps.reference_rejected_logp = kUnknown;
  EXPECT_EQ(field("ld_dpo", pair), "token_logps.reference_rejected");
}

TEST(ObjectiveTest, ABatchObjectiveTellsItsState) {
  std::vector<PairInputs> pairs;
  for (int i = 0; i < 10; ++i) pairs.push_back(FullPair(i));
  BatchState state;
  Evaluate(Make("beta_dpo"), pairs, &state);
  EXPECT_EQ(state.at("num_kept"), 8);
  EXPECT_GT(state.at("margin_deviation"), 0);
  EXPECT_GT(state.at("beta_used"), 0);
  const double mean = state.at("margin_mean");
  const auto next = Make("beta_dpo", {{"margin_mean", mean + 1}, {"margin_deviation", 2.0}});
  state.clear();
  Evaluate(next, pairs, &state);
  EXPECT_NEAR(state.at("margin_mean"), 0.9 * (mean + 1) + 0.1 * mean, 1e-12);
  EXPECT_TRUE(Evaluate(next, std::vector<PairInputs>()).empty());
}

TEST(RegistryTest, NamesAreUniqueAndUnknownOnesListTheKnown) {
  std::set<std::string> names;
  for (const ObjectiveDefinition* definition : AllObjectives()) {
    EXPECT_TRUE(names.insert(definition->name).second) << definition->name;
    EXPECT_EQ(*FindObjective(definition->name), definition);
    EXPECT_GT(std::string(definition->formula).size(), 2u);
    EXPECT_GT(std::string(definition->source).size(), 2u);
    for (std::size_t k = 0; k < NumParameters(*definition); ++k) {
      EXPECT_NE(definition->parameters[k].meaning, nullptr) << definition->name;
      EXPECT_NE(definition->parameters[k].source, nullptr) << definition->name;
    }
  }
  const absl::Status status = FindObjective("Sigmoid").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'Sigmoid'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("sigmoid, cdpo"));
}

}  // namespace
}  // namespace prefscore
