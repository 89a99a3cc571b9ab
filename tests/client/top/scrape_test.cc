// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/scrape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace prefscore::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

// Lines of a real server.
constexpr char kReal[] =
    R"(# HELP prefscore_queue_delay_seconds From the queueing of a pair or prompt to its batch, by class
# TYPE prefscore_queue_delay_seconds histogram
prefscore_queue_delay_seconds_count{priority="interactive"} 3
prefscore_queue_delay_seconds_sum{priority="interactive"} 0.00012345
prefscore_queue_delay_seconds_bucket{priority="interactive",le="0.001"} 2
prefscore_queue_delay_seconds_bucket{priority="interactive",le="+Inf"} 3
process_start_time_seconds 1790000000.25
)";

TEST(ScrapeTest, ReadsWhatAServerWrites) {
  const auto scrape = Scrape::Parse(kReal);
  ASSERT_TRUE(scrape.ok()) << scrape.status();
  const auto& buckets = scrape->Of("prefscore_queue_delay_seconds_bucket");
  ASSERT_THAT(buckets, SizeIs(2));
  EXPECT_THAT(buckets[1].labels, ElementsAre(Pair("le", "+Inf"), Pair("priority", "interactive")));
  EXPECT_EQ(buckets[1].value, 3);
  EXPECT_EQ(scrape->Of("process_start_time_seconds")[0].value, 1790000000.25);
  EXPECT_THAT(scrape->Of("process_start_time_seconds")[0].labels, IsEmpty());
  EXPECT_THAT(scrape->Of("absent"), IsEmpty());
}

TEST(ScrapeTest, ReadsAllThatTheFormatAllows) {
  const auto scrape = Scrape::Parse(
      "\n  # a comment\n a:b{} 1\nb { x = \"a\\\\b\\\"c\\nd\" , y=\"{},#\", } -2e3 1395066363000\nc +Inf\nd NaN\ne\t-Inf ");
  ASSERT_TRUE(scrape.ok()) << scrape.status();
  EXPECT_EQ(scrape->Of("a:b")[0].value, 1);
  EXPECT_THAT(scrape->Of("b")[0].labels, ElementsAre(Pair("x", "a\\b\"c\nd"), Pair("y", "{},#")));
  EXPECT_EQ(scrape->Of("b")[0].value, -2000);
  EXPECT_EQ(scrape->Of("c")[0].value, INFINITY);
  EXPECT_TRUE(std::isnan(scrape->Of("d")[0].value));
  EXPECT_EQ(scrape->Of("e")[0].value, -INFINITY);
}

TEST(ScrapeTest, RefusesWhatTheFormatDoesNotAllow) {
  for (const char* line : {"a", "a one", "a 1 x", "a 1 2 3", "1a 1", "a{ 1", "a{x} 1", "a{x=1} 1", "a{x=\"1} 1",
                           "a{x=\"\\t\"} 1", "a{x=\"1\" y=\"2\"} 1", "a{x=\"1\",x=\"2\"} 1", "a{x:y=\"1\"} 1",
                           "a{x=\"1\"}", "<html>", "a{x=\"\\"}) {
    const auto scrape = Scrape::Parse(std::string("b 1\n") + line + "\nc 1\n");
    ASSERT_FALSE(scrape.ok()) << line;
    EXPECT_THAT(std::string(scrape.status().message()), HasSubstr("line 2 ")) << line;
  }
}

}  // namespace
}  // namespace prefscore::cli
