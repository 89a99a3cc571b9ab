// SPDX-License-Identifier: Apache-2.0
#include "server/batching/cost_model.h"

#include <cmath>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace prefscore {
namespace {

const int kModels[2] = {};
const ModelKey kPolicy = &kModels[0];
const ModelKey kReference = &kModels[1];

double Seconds(const CostCoefficients& cost, const ForwardWork& work) {
  return cost.seconds_per_forward + cost.MarginalSeconds(work);
}

std::vector<CostSample> SamplesOf(const CostCoefficients& cost, const std::vector<ForwardWork>& works) {
  std::vector<CostSample> samples;
  for (const ForwardWork& work : works) samples.push_back({work, Seconds(cost, work)});
  return samples;
}

const std::vector<ForwardWork> kShapes = {{1, 1, 1}, {32, 528, 1}, {32, 528, 32}, {256, 32896, 1}, {128, 4000, 64}};

void ExpectNear(const CostCoefficients& found, const CostCoefficients& expected, double relative) {
  EXPECT_NEAR(found.seconds_per_token, expected.seconds_per_token, relative * expected.seconds_per_token);
  EXPECT_NEAR(found.seconds_per_attended_position, expected.seconds_per_attended_position,
              relative * expected.seconds_per_attended_position);
  EXPECT_NEAR(found.seconds_per_head_row, expected.seconds_per_head_row, relative * expected.seconds_per_head_row);
  EXPECT_NEAR(found.seconds_per_forward, expected.seconds_per_forward, relative * expected.seconds_per_forward);
}

TEST(FitCostTest, FindsTheCoefficientsThatMadeTheSamples) {
  const CostCoefficients small{1e-5, 2e-9, 3e-6, 1e-4};
  ExpectNear(FitCost(SamplesOf(small, kShapes)), small, 1e-6);
  const CostCoefficients large{5e-3, 1e-7, 1e-3, 0.1};
  ExpectNear(FitCost(SamplesOf(large, kShapes)), large, 1e-6);
}

TEST(FitCostTest, ATermThatCostsNothingIsZero) {
  ExpectNear(FitCost(SamplesOf({.seconds_per_token = 1e-3}, kShapes)), {.seconds_per_token = 1e-3}, 1e-6);
}

TEST(FitCostTest, IsNeverNegativeAndNoWorseThanTheTruthOnNoisySamples) {
  std::mt19937 generator(7);
  std::uniform_real_distribution<double> noise(0.7, 1.3);
  for (int round = 0; round < 200; ++round) {
    const CostCoefficients truth{1e-4, round % 2 * 1e-8, round % 3 * 1e-5, 1e-3};
    std::vector<CostSample> samples = SamplesOf(truth, kShapes);
    for (CostSample& sample : samples) sample.seconds *= noise(generator);
    const CostCoefficients found = FitCost(samples);
    for (const double coefficient : {found.seconds_per_token, found.seconds_per_attended_position,
                                     found.seconds_per_head_row, found.seconds_per_forward}) {
      EXPECT_GE(coefficient, 0);
    }
    double error_of_found = 0;
    double error_of_truth = 0;
    for (const CostSample& sample : samples) {
      error_of_found += std::pow(Seconds(found, sample.work) / sample.seconds - 1, 2);
      error_of_truth += std::pow(Seconds(truth, sample.work) / sample.seconds - 1, 2);
    }
    EXPECT_LE(error_of_found, error_of_truth);
  }
}

TEST(FitCostTest, DegenerateSamples) {
  EXPECT_EQ(Seconds(FitCost({}), {100, 100, 100}), 0);
  const std::vector<CostSample> useless = {{{10, 55, 1}, 0}, {{10, 55, 1}, -1}, {{10, 55, 1}, std::nan("")}};
  EXPECT_EQ(Seconds(FitCost(useless), {100, 100, 100}), 0);
  const std::vector<CostSample> one = {{{10, 55, 5}, 2.0}};
  EXPECT_NEAR(Seconds(FitCost(one), {10, 55, 5}), 2.0, 1e-9) << "one sample is explained";
  const std::vector<CostSample> twice = {{{10, 55, 5}, 1.0}, {{10, 55, 5}, 1.0}};
  EXPECT_NEAR(Seconds(FitCost(twice), {10, 55, 5}), 1.0, 1e-9) << "equal samples tell no terms apart";
}

class CostModelTest : public ::testing::Test {
 protected:
  void SetCost(ModelKey model, const CostCoefficients& cost) { model_.SetProbes(model, SamplesOf(cost, kShapes)); }

  // A batch of one model.
  void Observe(std::int64_t num_tokens, double seconds) {
    model_.Observe({kPolicy, {num_tokens, 0, 0}, seconds});
  }
  double Predicted(std::int64_t num_tokens) {
    return model_.Seconds(std::vector<ModelWork>{{kPolicy, {num_tokens, 0, 0}}});
  }

  CostModel model_;
};

TEST_F(CostModelTest, OnePassPerModelIsPaidOnce) {
  SetCost(kPolicy, {.seconds_per_token = 0.01, .seconds_per_forward = 0.5});
  SetCost(kReference, {.seconds_per_token = 0.02, .seconds_per_forward = 0.25});
  const std::vector<ModelWork> works = {{kPolicy, {10, 0, 0}}, {kReference, {10, 0, 0}}, {kPolicy, {5, 0, 0}}};
  EXPECT_NEAR(model_.MarginalSeconds(works), 0.15 + 0.2, 1e-6);
  EXPECT_NEAR(model_.Seconds(works), 0.15 + 0.2 + 0.75, 1e-6);
}

TEST_F(CostModelTest, TheCorrectionFollowsTheMachine) {
  SetCost(kPolicy, {.seconds_per_token = 0.01});
  EXPECT_NEAR(Predicted(100), 1, 1e-6);
  for (int batch = 0; batch < 7; ++batch) Observe(100, 3.0);  // one less than a fit takes
  EXPECT_NEAR(model_.CorrectionOf(kPolicy), 3, 1e-6);
  EXPECT_EQ(model_.CorrectionOf(kReference), 1) << "another model says nothing of it";
  EXPECT_NEAR(Predicted(100), 3, 1e-6);
}

TEST_F(CostModelTest, ASmallBatchSaysLittle) {
  SetCost(kPolicy, {.seconds_per_token = 0.01});
  Observe(100, 1.0);
  Observe(1, 0.2);  // 20 times what is predicted, of a hundredth of the work
  EXPECT_LT(model_.CorrectionOf(kPolicy), 1.25);
}

TEST_F(CostModelTest, RecentPassesMendAFitThatProbesGotWrong) {
  // Small probes, the smallest ones disturbed: nothing seems to grow with the tokens.
  model_.SetProbes(kPolicy, SamplesOf({.seconds_per_forward = 0.08}, {{1, 1, 1}, {31, 400, 16}, {48, 1200, 1}}));
  const auto truth = [](std::int64_t num_tokens) { return 0.03 + 0.001 * static_cast<double>(num_tokens); };
  for (int batch = 0; batch < 100; ++batch) {
    const std::int64_t num_tokens = 100 + 50 * (batch % 7);
    Observe(num_tokens, truth(num_tokens));
  }
  for (const std::int64_t num_tokens : {100, 400, 1000}) {
    EXPECT_NEAR(Predicted(num_tokens), truth(num_tokens), 0.2 * truth(num_tokens)) << num_tokens;
  }
}

TEST_F(CostModelTest, AModelOfWhichNothingIsKnownCostsWhatItsFirstPassTook) {
  const std::vector<ModelWork> works = {{kPolicy, {100, 0, 0}}, {kReference, {100, 0, 0}}};
  EXPECT_EQ(model_.Seconds(works), 0);
  model_.Observe({kPolicy, {100, 0, 0}, 3.0});
  model_.Observe({kReference, {100, 0, 0}, 1.0});
  EXPECT_NEAR(model_.Seconds(works), 4, 1e-9);
  EXPECT_NEAR(Predicted(50), 1.5, 1e-9);
  Observe(100, 0);
  EXPECT_NEAR(model_.Seconds(works), 4, 1e-9) << "a clock that stands still says nothing";
}

}  // namespace
}  // namespace prefscore
