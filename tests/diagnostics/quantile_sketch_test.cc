// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/quantile_sketch.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;

constexpr double kProbabilities[] = {0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0};

Extremes ExtremesOf(std::span<const double> values) {
  const auto [minimum, maximum] = std::minmax_element(values.begin(), values.end());
  return {*minimum, *maximum};
}

void Add(std::span<const double> values, QuantileSketch& sketch) { sketch.Add(values, ExtremesOf(values)); }

QuantileSketch SketchOf(std::span<const double> values) {
  QuantileSketch sketch;
  Add(values, sketch);
  return sketch;
}

TEST(QuantileSketch, InterpolatesAsNumpyDoes) {
  // To the last bit, numpy.quantile([4, -1, 2, 8], [0, 0.01, 0.25, 0.5, 0.75, 0.99, 1])
  const std::vector<double> values = {4, -1, 2, 8};
  EXPECT_THAT(SketchOf(values).Quantiles(kProbabilities, {-1, 8}),
              ElementsAre(-1, -0x1.d1eb851eb851fp-1, 1.25, 3, 5, 0x1.f851eb851eb84p+2, 8));
  const std::vector<double> one = {3};
  EXPECT_THAT(SketchOf(one).Quantiles(kProbabilities, {3, 3}), ElementsAre(3, 3, 3, 3, 3, 3, 3));
}

TEST(QuantileSketch, IsExactUpToItsSize) {
  std::vector<double> values(QuantileSketch::kMaxExactValues);
  std::iota(values.begin(), values.end(), -5.0);
  std::mt19937_64 random(1);
  std::shuffle(values.begin(), values.end(), random);
  const QuantileSketch sketch = SketchOf(values);
  EXPECT_TRUE(sketch.is_exact());
  const double last = static_cast<double>(values.size() - 1);
  const auto quantiles = sketch.Quantiles(kProbabilities, ExtremesOf(values));
  for (std::size_t i = 0; i < std::size(kProbabilities); ++i) {
    EXPECT_NEAR(quantiles[i], kProbabilities[i] * last - 5, 1e-9);
  }
}

TEST(QuantileSketch, IsWithinItsErrorBeyond) {
  std::mt19937_64 random(2);
  std::normal_distribution<double> normal;
  for (const double scale : {1e-6, 1.0, 1e9}) {
    for (const double shift : {0.0, -3.0, 3.0}) {
      std::vector<double> values(50000);
      for (double& value : values) value = scale * (shift + normal(random)) * std::exp(2 * normal(random));
      const QuantileSketch sketch = SketchOf(values);
      EXPECT_FALSE(sketch.is_exact());
      const Extremes extremes = ExtremesOf(values);
      std::sort(values.begin(), values.end());
      for (int percent = 0; percent <= 100; ++percent) {
        const double probability[] = {percent / 100.0};
        const double position = probability[0] * static_cast<double>(values.size() - 1);
        const double below = values[static_cast<std::size_t>(position)];
        const double above = values[std::min(static_cast<std::size_t>(position) + 1, values.size() - 1)];
        const double exact = below + (above - below) * (position - std::floor(position));
        const double allowed = QuantileSketch::kRelativeError * std::max(std::fabs(below), std::fabs(above)) + 0x1p-30;
        EXPECT_NEAR(sketch.Quantiles(probability, extremes)[0], exact, allowed) << percent;
      }
    }
  }
}

TEST(QuantileSketch, IsAFunctionOfTheSet) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (const std::size_t count : {10u, 16384u, 16385u, 60000u}) {
    std::vector<double> values(count);
    for (double& value : values) value = random() % 10 == 0 ? 0.0 : normal(random) * std::exp(5 * normal(random));
    const Extremes extremes = ExtremesOf(values);
    const auto expected = SketchOf(values).Quantiles(kProbabilities, extremes);
    const auto histogram = SketchOf(values).EqualWidthHistogram(40, extremes).counts;
    EXPECT_EQ(std::accumulate(histogram.begin(), histogram.end(), std::uint64_t{0}), count);
    for (int round = 0; round < 5; ++round) {
      std::shuffle(values.begin(), values.end(), random);
      std::vector<QuantileSketch> sketches(3);
      for (std::size_t begin = 0; begin < count;) {
        const std::size_t size = std::min<std::size_t>(count - begin, 1 + random() % 1000);
        Add({values.data() + begin, size}, sketches[random() % 3]);
        begin += size;
      }
      sketches[0].Merge(sketches[1]);
      sketches[0].Merge(sketches[2]);
      EXPECT_EQ(sketches[0].Quantiles(kProbabilities, extremes), expected);
      EXPECT_EQ(sketches[0].EqualWidthHistogram(40, extremes).counts, histogram);
    }
  }
}

TEST(QuantileSketch, CountsAValueOnABoundAbove) {
  const std::vector<double> values = {0, 1, 2, 3, 4, 4};
  const Histogram histogram = SketchOf(values).EqualWidthHistogram(4, {0, 4});
  EXPECT_EQ(histogram.lower, 0);
  EXPECT_EQ(histogram.upper, 4);
  EXPECT_THAT(histogram.counts, ElementsAre(1, 1, 1, 3));
  const std::vector<double> constant = {7, 7};
  EXPECT_THAT(SketchOf(constant).EqualWidthHistogram(4, {7, 7}).counts, ElementsAre(0, 0, 0, 2));
}

TEST(QuantileSketch, BeyondItsSizeCountsTinyMagnitudesAsZero) {
  std::vector<double> values(20000, 1e-10);
  values.push_back(-1);
  values.push_back(1);
  const double probability[] = {0.5};
  EXPECT_EQ(SketchOf(values).Quantiles(probability, {-1, 1})[0], 0);
}

TEST(QuantileSketch, IsBoundedInMemory) {
  QuantileSketch sketch;
  std::mt19937_64 random(4);
  std::normal_distribution<double> normal;
  std::vector<double> values(1000);
  for (int block = 0; block < 1000; ++block) {
    for (double& value : values) value = 100 * normal(random);
    Add(values, sketch);
    EXPECT_LE(sketch.memory(), QuantileSketch::kMaxExactValues * sizeof(double));
  }
  // The worst: magnitudes up to the largest that a report takes.
  for (double& value : values)
    value = std::ldexp(normal(random) < 0 ? 1.0 : -1.0, static_cast<int>(random() % 530) - 30);
  Add(values, sketch);
  EXPECT_LE(sketch.memory(), 1200000u);
}

}  // namespace
}  // namespace prefscore
