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

TEST(CostModelTest, OnePassPerModelIsPaidOnce) {
  CostModel model;
  model.SetCoefficients(kPolicy, {.seconds_per_token = 0.01, .seconds_per_forward = 0.5});
  model.SetCoefficients(kReference, {.seconds_per_token = 0.02, .seconds_per_forward = 0.25});
  const std::vector<ModelWork> works = {{kPolicy, {10, 0, 0}}, {kReference, {10, 0, 0}}, {kPolicy, {5, 0, 0}}};
  EXPECT_NEAR(model.MarginalSeconds(works), 0.15 + 0.2, 1e-12);
  EXPECT_NEAR(model.Seconds(works), 0.15 + 0.2 + 0.75, 1e-12);
}

TEST(CostModelTest, TheCorrectionFollowsTheMachine) {
  CostModel model;
  model.SetCoefficients(kPolicy, {.seconds_per_token = 0.01});
  const std::vector<ModelWork> works = {{kPolicy, {100, 0, 0}}};
  EXPECT_NEAR(model.Seconds(works), 1, 1e-12);
  for (int batch = 0; batch < 100; ++batch) model.Observe(works, 3.0);
  EXPECT_NEAR(model.correction(), 3, 1e-6);
  EXPECT_NEAR(model.Seconds(works), 3, 1e-6);
  for (int batch = 0; batch < 100; ++batch) model.Observe(works, 0.5);
  EXPECT_NEAR(model.Seconds(works), 0.5, 1e-3);
  const std::vector<ModelWork> tiny = {{kPolicy, {1, 0, 0}}};
  model.Observe(tiny, 0.1);  // 20 times what is predicted, of a hundredth of the work
  EXPECT_LT(model.correction(), 0.6) << "a small batch says little";
}

TEST(CostModelTest, AModelOfWhichNothingIsKnownCostsWhatItsFirstBatchTook) {
  CostModel model;
  const std::vector<ModelWork> works = {{kPolicy, {100, 0, 0}}, {kReference, {100, 0, 0}}};
  EXPECT_EQ(model.Seconds(works), 0);
  model.Observe(works, 4.0);
  EXPECT_NEAR(model.Seconds(works), 4, 1e-12);
  EXPECT_NEAR(model.Seconds(std::vector<ModelWork>{{kPolicy, {50, 0, 0}}}), 1, 1e-12);
  model.Observe(works, 0);
  EXPECT_NEAR(model.Seconds(works), 4, 1e-12) << "a clock that stands still says nothing";
}

}  // namespace
}  // namespace prefscore
