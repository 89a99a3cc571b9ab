// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/distribution.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace prefscore {
namespace {

Distribution ReportOf(const std::vector<double>& values) {
  DistributionTotals totals;
  totals.Add(values);
  return totals.Report("name", "unit");
}

TEST(Distribution, OfNothingIsZeros) {
  const Distribution report = ReportOf({});
  EXPECT_EQ(report.name, "name");
  EXPECT_EQ(report.unit, "unit");
  EXPECT_EQ(report.count, 0u);
  EXPECT_EQ(report.mean, 0);
  EXPECT_EQ(report.minimum, 0);
  EXPECT_EQ(report.maximum, 0);
  ASSERT_EQ(report.quantiles.size(), 9u);
  EXPECT_EQ(report.quantiles[8].probability, 0.99);
  EXPECT_EQ(report.quantiles[8].value, 0);
  EXPECT_TRUE(report.histogram.counts.empty());
}

TEST(Distribution, OfOneValueHasNoDeviation) {
  const Distribution report = ReportOf({3});
  EXPECT_EQ(report.mean, 3);
  EXPECT_EQ(report.deviation, 0);
  EXPECT_EQ(report.quantiles[0].value, 3);
}

TEST(Distribution, DeviationIsThatOfTheSample) { EXPECT_EQ(ReportOf({1, 3}).deviation, std::sqrt(2.0)); }

TEST(Distribution, DeviationSurvivesALargeMean) {
  EXPECT_NEAR(ReportOf({1e9 + 1e-3, 1e9 - 1e-3, 1e9}).deviation, 1e-3, 1e-7);  // of values spaced 1.2e-7
  EXPECT_EQ(ReportOf({0.1, 0.1, 0.1}).deviation, 0);
}

TEST(Distribution, HasNoNegativeZeros) {
  const Distribution report = ReportOf({-0.0, -0.0});
  EXPECT_FALSE(std::signbit(report.mean));
  EXPECT_FALSE(std::signbit(report.minimum));
  EXPECT_FALSE(std::signbit(report.maximum));
  EXPECT_FALSE(std::signbit(report.quantiles[4].value));
  EXPECT_FALSE(std::signbit(report.histogram.lower));
}

TEST(Distribution, MergesToTheSame) {
  DistributionTotals all, first, second;
  const std::vector<double> xs = {1, 2, 0.3}, ys = {-4, 5.5};
  all.Add(xs);
  all.Add(ys);
  first.Add(ys);
  second.Add(xs);
  first.Merge(second);
  first.Merge(DistributionTotals());
  const Distribution x = all.Report("", ""), y = first.Report("", "");
  EXPECT_EQ(x.count, y.count);
  EXPECT_EQ(x.mean, y.mean);
  EXPECT_EQ(x.deviation, y.deviation);
  EXPECT_EQ(x.minimum, y.minimum);
  EXPECT_EQ(x.histogram.counts, y.histogram.counts);
}

}  // namespace
}  // namespace prefscore
