// SPDX-License-Identifier: Apache-2.0
// Every field of a report, for five pairs by hand.
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/diagnostics/analyzer.h"
#include "tests/diagnostics/five_pairs.h"

namespace prefscore {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Field;

constexpr double kTolerance = 1e-14;

// z = h - h0 / 2 = 1, -4.5, 3, -0.5, -0.5.
constexpr double kLogits[] = {1, -4.5, 3, -0.5, -0.5};

double Softplus(double x) { return std::log1p(std::exp(x)); }
double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

const SliceReport& FiveSlice() {
  static const AnalysisReport report = Analyze(FivePairs(), FivePairOptions());
  return report.slices.at(0);
}

const Distribution& Named(const std::vector<Distribution>& distributions, const std::string& name) {
  for (const Distribution& distribution : distributions) {
    if (distribution.name == name) return distribution;
  }
  ADD_FAILURE() << "no " << name;
  return distributions.front();
}

TEST(ReportByHand, CountsPairs) {
  const SliceReport& slice = FiveSlice();
  EXPECT_EQ(slice.label_name, "");
  EXPECT_EQ(slice.num_pairs, 5u);
  EXPECT_EQ(slice.num_pairs_with_reference, 5u);
}

TEST(ReportByHand, ReportsRankings) {
  const RankingReport& ranking = FiveSlice().ranking;
  EXPECT_EQ(ranking.policy_accuracy, 2.0 / 5);
  EXPECT_EQ(ranking.reference_accuracy, 3.0 / 5);
  EXPECT_EQ(ranking.pessimistic_share, 2.0 / 5);
  EXPECT_EQ(ranking.agreement, 2.0 / 5);
  EXPECT_EQ(ranking.both_fell_share, 2.0 / 5);
  EXPECT_EQ(ranking.chosen_fell_share, 3.0 / 5);
  EXPECT_EQ(ranking.policy_tie_share, 1.0 / 5);
  EXPECT_EQ(ranking.reference_tie_share, 0.0);
}

TEST(ReportByHand, ReportsLengthBias) {
  const LengthReport& length = FiveSlice().length.value();
  EXPECT_EQ(length.num_pairs, 4u);
  EXPECT_EQ(length.chosen_longer_share, 0.5);
  EXPECT_NEAR(length.policy_margin_correlation, -6.75 / std::sqrt(20.75 * 2.75), kTolerance);
  EXPECT_NEAR(length.reference_margin_correlation, -2 / std::sqrt(26 * 2.75), kTolerance);
  EXPECT_EQ(length.policy_accuracy_per_token, 0.5);
  EXPECT_EQ(length.reference_accuracy_per_token, 0.5);
}

TEST(ReportByHand, ReportsDistributionsOfLogProbs) {
  const auto& distributions = FiveSlice().distributions;
  std::vector<std::string> names;
  for (const Distribution& distribution : distributions) names.push_back(distribution.name + ": " + distribution.unit);
  EXPECT_THAT(names,
              ElementsAre("policy_margin: nats", "reference_margin: nats", "chosen_logratio: nats",
                          "rejected_logratio: nats", "policy_chosen_logp: nats", "policy_rejected_logp: nats",
                          "num_chosen_tokens: tokens", "num_rejected_tokens: tokens",
                          "policy_margin_per_token: nats per token", "reference_margin_per_token: nats per token"));
  const Distribution& margin = distributions[0];
  EXPECT_EQ(margin.count, 5u);
  EXPECT_EQ(margin.mean, -0.2);
  EXPECT_NEAR(margin.deviation, std::sqrt(5.2), kTolerance);
  EXPECT_EQ(margin.minimum, -3);
  EXPECT_EQ(margin.maximum, 2);
  ASSERT_EQ(margin.quantiles.size(), 9u);
  EXPECT_EQ(margin.quantiles[4].probability, 0.5);
  EXPECT_EQ(margin.quantiles[4].value, 0);
  EXPECT_EQ(margin.quantiles[2].probability, 0.1);
  EXPECT_NEAR(margin.quantiles[2].value, -2.6, kTolerance);
  EXPECT_EQ(margin.quantile_relative_error, 0);
  EXPECT_EQ(margin.histogram.lower, -3);
  EXPECT_EQ(margin.histogram.upper, 2);
  ASSERT_EQ(margin.histogram.counts.size(), 40u);
  for (const auto& [bucket, count] : {std::pair(0, 1), std::pair(8, 1), std::pair(24, 1), std::pair(39, 2)}) {
    EXPECT_EQ(margin.histogram.counts[bucket], static_cast<std::uint64_t>(count)) << bucket;
  }
  EXPECT_EQ(Named(distributions, "reference_margin").mean, 0.2);
  EXPECT_EQ(Named(distributions, "chosen_logratio").mean, -1.0);
  EXPECT_EQ(Named(distributions, "rejected_logratio").mean, -0.6);
  EXPECT_EQ(Named(distributions, "policy_chosen_logp").mean, -3.4);
  EXPECT_EQ(Named(distributions, "policy_rejected_logp").mean, -3.2);
  EXPECT_EQ(Named(distributions, "num_chosen_tokens").mean, 11.0 / 4);
  EXPECT_EQ(Named(distributions, "num_rejected_tokens").count, 4u);
  EXPECT_EQ(Named(distributions, "policy_margin_per_token").mean, 0.5);
  EXPECT_NEAR(Named(distributions, "reference_margin_per_token").maximum, 0.8, kTolerance);
}

TEST(ReportByHand, ReportsAnObjective) {
  const ObjectiveReport& objective = FiveSlice().objectives.at(0);
  double loss = 0, mass = 0, squared_mass = 0;
  for (const double z : kLogits) {
    loss += Softplus(-z);
    mass += Sigmoid(-z);
    squared_mass += Sigmoid(-z) * Sigmoid(-z);
  }
  EXPECT_EQ(objective.label, "sigmoid:beta=1,gamma=0.5");
  EXPECT_EQ(objective.name, "sigmoid");
  EXPECT_EQ(objective.beta, 1);
  EXPECT_EQ(objective.gamma, 0.5);
  EXPECT_EQ(objective.num_pairs, 5u);
  EXPECT_NEAR(objective.mean_loss, loss / 5, kTolerance);
  EXPECT_EQ(objective.accuracy, 2.0 / 5);
  EXPECT_EQ(objective.reward_likelihood_agreement, 4.0 / 5);
  EXPECT_NEAR(objective.gradient_mass, mass, kTolerance);
  EXPECT_NEAR(objective.effective_sample_size, mass * mass / squared_mass, kTolerance);
  EXPECT_EQ(objective.saturated_share, 1.0 / 5);

  std::vector<std::string> names;
  for (const Distribution& distribution : objective.distributions) names.push_back(distribution.name);
  EXPECT_THAT(names,
              ElementsAre("loss", "logit", "required_margin", "chosen_reward", "rejected_reward", "reward_margin"));
  EXPECT_EQ(Named(objective.distributions, "logit").minimum, -4.5);
  EXPECT_EQ(Named(objective.distributions, "required_margin").maximum, 1.5);
  EXPECT_EQ(Named(objective.distributions, "chosen_reward").mean, -3.4 + 0.5 * 2.4);
  EXPECT_EQ(Named(objective.distributions, "reward_margin").mean, -0.3);
}

TEST(ReportByHand, ReportsTheLearningTable) {
  const auto& table = FiveSlice().objectives.at(0).learning_table;
  ASSERT_EQ(table.size(), 9u);
  // p1 right/right, p5 tie/right, p2 wrong/right, p3 right/wrong, p4 wrong/wrong.
  const int pair_of_cell[] = {0, -1, 2, 4, -1, -1, 1, -1, 3};
  for (int cell = 0; cell < 9; ++cell) {
    SCOPED_TRACE(cell);
    EXPECT_EQ(static_cast<int>(table[cell].policy), cell / 3);
    EXPECT_EQ(static_cast<int>(table[cell].reference), cell % 3);
    EXPECT_EQ(table[cell].is_diagonal, cell % 4 == 0);
    const int pair = pair_of_cell[cell];
    EXPECT_EQ(table[cell].num_pairs, pair < 0 ? 0u : 1u);
    EXPECT_EQ(table[cell].share, pair < 0 ? 0 : 1.0 / 5);
    const double z = pair < 0 ? 0 : kLogits[pair];
    EXPECT_NEAR(table[cell].mean_loss, pair < 0 ? 0 : Softplus(-z), kTolerance);
    EXPECT_EQ(table[cell].mean_logit, z);
    EXPECT_NEAR(table[cell].gradient_mass, pair < 0 ? 0 : Sigmoid(-z), kTolerance);
    EXPECT_NEAR(table[cell].gradient_mass_share, pair < 0 ? 0 : Sigmoid(-z) / FiveSlice().objectives[0].gradient_mass,
                kTolerance);
    EXPECT_EQ(table[cell].active_share, z < 0 ? 1 : 0);
    EXPECT_EQ(table[cell].learning_share, z < 0 ? 1 : 0);
  }
  // If the policy were the reference: right on p1, p2 and p5, wrong on p3 and p4.
  EXPECT_EQ(table[0].num_initial_pairs, 3u);
  EXPECT_EQ(table[4].num_initial_pairs, 0u);
  EXPECT_EQ(table[8].num_initial_pairs, 2u);
  EXPECT_EQ(table[2].num_initial_pairs, 0u);
}

TEST(ReportByHand, ReportsTheSweep) {
  const auto& sweep = FiveSlice().objectives.at(0).sweep;
  ASSERT_EQ(sweep.size(), 2u);
  EXPECT_EQ(sweep[0].beta, 2);
  EXPECT_EQ(sweep[0].gamma, 0);
  EXPECT_EQ(sweep[0].gamma_over_beta, 0);
  EXPECT_EQ(sweep[1].gamma, 6);
  EXPECT_EQ(sweep[1].gamma_over_beta, 3);
  // beta 2, gamma 6: z = 2 h - 6 h0.
  const double logits[] = {-8, -24, 16, 14, -6};
  double loss = 0, mass = 0, squared_mass = 0;
  for (const double z : logits) {
    loss += Softplus(-z);
    mass += 2 * Sigmoid(-z);
    squared_mass += 4 * Sigmoid(-z) * Sigmoid(-z);
  }
  EXPECT_NEAR(sweep[1].mean_loss, loss / 5, kTolerance);
  EXPECT_EQ(sweep[1].accuracy, 2.0 / 5);
  EXPECT_EQ(sweep[1].active_share, 3.0 / 5);
  EXPECT_EQ(sweep[1].learning_share, 3.0 / 5);
  EXPECT_EQ(sweep[1].saturated_share, 2.0 / 5);
  EXPECT_NEAR(sweep[1].gradient_mass, mass, kTolerance);
  EXPECT_NEAR(sweep[1].effective_sample_size, mass * mass / squared_mass, kTolerance);
  const double by_cell[] = {2 * Sigmoid(8),  0, 2 * Sigmoid(-16), 2 * Sigmoid(6), 0, 0,
                            2 * Sigmoid(24), 0, 2 * Sigmoid(-14)};
  ASSERT_EQ(sweep[1].gradient_mass_by_cell.size(), 9u);
  for (int cell = 0; cell < 9; ++cell) EXPECT_NEAR(sweep[1].gradient_mass_by_cell[cell], by_cell[cell], kTolerance);
  // beta 2, gamma 0: p5 is neither right nor wrong.
  EXPECT_EQ(sweep[0].accuracy, 2.0 / 5);
  EXPECT_EQ(sweep[0].active_share, 2.0 / 5);
  EXPECT_EQ(sweep[0].learning_share, 3.0 / 5);
}

TEST(ReportByHand, ReportsTempers) {
  const auto& temper = FiveSlice().objectives.at(0).temper;
  ASSERT_EQ(temper.size(), 1u);
  EXPECT_EQ(temper[0].exponent, 2);
  EXPECT_EQ(temper[0].unchanged_gamma, 0.25);
  const SweepPoint& point = temper[0].if_left_alone;
  EXPECT_EQ(point.beta, 1);
  EXPECT_EQ(point.gamma, 1);
  EXPECT_EQ(point.gamma_over_beta, 1);
  double loss = 0;
  for (const double z : {0, -6, 4, 1, -1}) loss += Softplus(-z);
  EXPECT_NEAR(point.mean_loss, loss / 5, kTolerance);
  EXPECT_EQ(point.accuracy, 2.0 / 5);
  EXPECT_EQ(point.active_share, 2.0 / 5);
}

TEST(ReportByHand, ReportsFlips) {
  const FlipReport& flip = FiveSlice().objectives.at(0).flip.value();
  EXPECT_EQ(flip.below_threshold_share, 2.0 / 5);
  EXPECT_EQ(flip.threshold.name, "threshold");
  double threshold = 0;
  for (const double reference_margin : {2, 3, -2, -3, 1}) threshold += Softplus(0.5 * reference_margin);
  EXPECT_NEAR(flip.threshold.mean, threshold / 5, kTolerance);
  EXPECT_NEAR(flip.threshold.maximum, Softplus(1.5), kTolerance);
  ASSERT_EQ(flip.ideal_accuracies.size(), 2u);
  EXPECT_EQ(flip.ideal_accuracies[0].preference_probability, 0.75);
  EXPECT_EQ(flip.ideal_accuracies[0].accuracy, 4.0 / 5);  // not p4: -1.5 + 1.099
  EXPECT_EQ(flip.ideal_accuracies[1].accuracy, 1.0);
}

TEST(ReportByHand, ListsPairs) {
  const SliceReport& slice = FiveSlice();
  const auto is = [](const std::string& id, double h, double h0, double value) {
    return ::testing::AllOf(Field(&ListedPair::id, id), Field(&ListedPair::policy_margin, h),
                            Field(&ListedPair::reference_margin, h0),
                            Field(&ListedPair::value, DoubleNear(value, kTolerance)));
  };
  EXPECT_THAT(slice.most_negative_margins, ElementsAre(is("p2", -3, 3, -3), is("p4", -2, -3, -2)));
  EXPECT_THAT(slice.ties, ElementsAre(is("p5", 0, 1, 0)));
  const ObjectiveReport& objective = slice.objectives.at(0);
  EXPECT_THAT(objective.largest_gradient_masses,
              ElementsAre(is("p2", -3, 3, Sigmoid(4.5)), is("p4", -2, -3, Sigmoid(0.5))));  // p5 has as much as p4
  EXPECT_THAT(objective.largest_required_margins, ElementsAre(is("p2", -3, 3, 1.5), is("p1", 2, 2, 1)));
}

}  // namespace
}  // namespace prefscore
