// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/interval.h"

#include <gtest/gtest.h>

#include <cmath>

namespace prefscore::cli {
namespace {

Scrape Parsed(const std::string& text) {
  auto scrape = Scrape::Parse(text);
  EXPECT_TRUE(scrape.ok()) << scrape.status();
  return *std::move(scrape);
}

const char kBefore[] = R"(process_start_time_seconds 100
calls{method="a",code="OK"} 10
calls{method="a",code="INTERNAL"} 1
calls{method="b",code="OK"} 7
waiting 4
delay_count 10
delay_sum 5
delay_bucket{le="1"} 8
delay_bucket{le="2"} 10
delay_bucket{le="+Inf"} 10
)";

// Four more values: one up to 1, two up to 2, one beyond.
const char kAfter[] = R"(process_start_time_seconds 100
calls{method="a",code="OK"} 14
calls{method="a",code="INTERNAL"} 2
calls{method="b",code="OK"} 7
waiting 9
delay_count 14
delay_sum 1
delay_bucket{le="1"} 9
delay_bucket{le="2"} 13
delay_bucket{le="+Inf"} 14
)";

TEST(IntervalTest, TellsRatesOfTheSeriesThatCarryTheLabels) {
  const Scrape before = Parsed(kBefore), after = Parsed(kAfter);
  const Interval interval(before, after, 2);
  EXPECT_FALSE(interval.is_restarted());
  EXPECT_EQ(interval.Increase("calls"), 5);
  EXPECT_EQ(interval.Rate("calls"), 2.5);
  EXPECT_EQ(interval.Increase("calls", {{"method", "a"}}), 5);
  EXPECT_EQ(interval.Increase("calls", {{"method", "b"}}), 0);
  EXPECT_EQ(interval.Increase("calls", {{"method", "a"}, {"code", "OK"}}), 4);
  EXPECT_EQ(interval.Value("waiting"), 9);
  EXPECT_TRUE(std::isnan(interval.Rate("absent")));
  EXPECT_TRUE(std::isnan(interval.Value("calls", {{"method", "c"}})));
}

// As histogram_quantile over increase() gives it: rank 2 of 4 is the first of the two within (1, 2].
TEST(IntervalTest, QuantilesAreInterpolatedAsPrometheusDoesIt) {
  const Scrape before = Parsed(kBefore), after = Parsed(kAfter);
  const Interval interval(before, after, 2);
  EXPECT_EQ(interval.Quantile(0.5, "delay"), 1.5);
  EXPECT_EQ(interval.Quantile(0.25, "delay"), 1);
  EXPECT_EQ(interval.Quantile(0.125, "delay"), 0.5);
  EXPECT_EQ(interval.Quantile(0.99, "delay"), 2) << "the highest bound there is";
  EXPECT_TRUE(std::isnan(interval.Quantile(0.5, "absent")));
  const Interval none(before, before, 2);
  EXPECT_TRUE(std::isnan(none.Quantile(0.5, "delay")));
  EXPECT_TRUE(std::isnan(none.Mean("delay")));
}

TEST(IntervalTest, ThereIsNoQuantileOfWhatIsNoCount) {
  const Scrape nothing = Parsed("");
  for (const char* text : {"delay_bucket{le=\"1\"} 4\ndelay_bucket{le=\"+Inf\"} NaN\n", "delay_bucket{le=\"NaN\"} 4\n",
                           "delay_bucket{le=\"+Inf\"} -4\n"}) {
    const Scrape after = Parsed(text);
    EXPECT_TRUE(std::isnan(Interval(nothing, after, 1).Quantile(0.5, "delay"))) << text;
  }
  const Scrape after = Parsed("delay_bucket{le=\"NaN\"} 4\ndelay_bucket{le=\"2\"} 4\ndelay_bucket{le=\"+Inf\"} 4\n");
  EXPECT_EQ(Interval(nothing, after, 1).Quantile(0.5, "delay"), 1) << "the other buckets count";
}

TEST(IntervalTest, SumsOfMarginsMayFall) {
  const Scrape before = Parsed(kBefore), after = Parsed(kAfter);
  EXPECT_EQ(Interval(before, after, 2).Mean("delay"), -1);
}

TEST(IntervalTest, AfterARestartAllIsNew) {
  std::string anew = kAfter;
  anew.replace(anew.find("100"), 3, "200");
  const Scrape before = Parsed(kBefore), after = Parsed(anew);
  const Interval interval(before, after, 2);
  EXPECT_TRUE(interval.is_restarted());
  EXPECT_EQ(interval.Increase("calls"), 14 + 2 + 7);
  EXPECT_EQ(interval.Mean("delay"), 1.0 / 14);
}

TEST(IntervalTest, ACounterThatFellWasReset) {
  const Scrape before = Parsed("a 10\n"), after = Parsed("a 3\n");
  EXPECT_EQ(Interval(before, after, 1).Increase("a"), 3);
}

}  // namespace
}  // namespace prefscore::cli
