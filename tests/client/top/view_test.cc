// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_join.h"

namespace prefscore::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kBefore[] = R"(process_start_time_seconds 100
prefscore_build_info{version="1.2.3"} 1
prefscore_pairs_scored_total 10
prefscore_requests_total{method="ScorePairs",code="OK"} 10
prefscore_requests_total{method="ScorePairs",code="INTERNAL"} 0
prefscore_requests_total{method="GetModel",code="OK"} 0
prefscore_queued_tokens{priority="interactive"} 0
prefscore_queued_tokens{priority="bulk"} 123456
prefscore_forward_duration_seconds_count{model="policy"} 2
prefscore_forward_duration_seconds_sum{model="policy"} 1
prefscore_refusals_total{priority="bulk",reason="queued_tokens"} 0
)";

constexpr char kAfter[] = R"(process_start_time_seconds 100
prefscore_build_info{version="1.2.3"} 1
prefscore_pairs_scored_total 20
prefscore_requests_total{method="ScorePairs",code="OK"} 13
prefscore_requests_total{method="ScorePairs",code="INTERNAL"} 1
prefscore_requests_total{method="GetModel",code="OK"} 0
prefscore_queued_tokens{priority="interactive"} 0
prefscore_queued_tokens{priority="bulk"} 123456
prefscore_forward_duration_seconds_count{model="policy"} 4
prefscore_forward_duration_seconds_sum{model="policy"} 2
prefscore_refusals_total{priority="bulk",reason="queued_tokens"} 4
)";

std::string View(const char* before_text, const char* after_text) {
  const auto before = Scrape::Parse(before_text), after = Scrape::Parse(after_text);
  return absl::StrJoin(TopView(Interval(*before, *after, 2), "http://x/metrics", absl::FromUnixSeconds(3700)), "\n");
}

TEST(TopViewTest, ShowsTheInterval) {
  const std::string view = View(kBefore, kAfter);
  EXPECT_THAT(view, AllOf(HasSubstr("prefscore 1.2.3  http://x/metrics  up 1h"), HasSubstr("pairs/s 5.00 "),
                          HasSubstr("  ScorePairs  2.00   25.0%"), Not(HasSubstr("GetModel")),
                          HasSubstr("refused/s for  queued_tokens 2.00"), Not(HasSubstr("RESTARTED"))))
      << view;
  EXPECT_THAT(view, ::testing::ContainsRegex("  policy +1.00 +- +- +50.0%")) << view;
  EXPECT_THAT(view, HasSubstr(" 123k ")) << view;
}

TEST(TopViewTest, SaysThatTheServerWasStartedAnew) {
  std::string anew = kAfter;
  anew.replace(anew.find("100"), 3, "200");
  EXPECT_THAT(View(kBefore, anew.c_str()), HasSubstr("up 58m20s  RESTARTED"));
}

TEST(TopViewTest, AnOlderServerHasGapsInstead) {
  const char* nothing = "process_start_time_seconds 100\n";
  EXPECT_THAT(View(nothing, nothing), AllOf(HasSubstr("pairs/s - "), Not(HasSubstr("nan"))));
}

TEST(TopViewTest, AStartOutsideOfTimeIsNone) {
  for (const char* start : {"NaN", "+Inf", "-Inf", "1e300", "-1e300", "0"}) {
    const std::string text = std::string("process_start_time_seconds ") + start + "\n";
    EXPECT_THAT(View(text.c_str(), text.c_str()), Not(HasSubstr("  up "))) << start;
  }
}

TEST(TopViewTest, NoLabelMovesTheCursor) {
  const char* text = "prefscore_build_info{version=\"1\x1b[2J\\n2\"} 1\nprefscore_requests_total{method=\"a\rb\"} 1\n";
  const auto before = Scrape::Parse(""), after = Scrape::Parse(text);
  for (const std::string& line : TopView(Interval(*before, *after, 2), "http://x/metrics", absl::FromUnixSeconds(0))) {
    EXPECT_EQ(line.find_first_of("\x1b\r\n"), std::string::npos) << line;
  }
}

TEST(ShortNumberTest, IsShort) {
  const std::pair<double, const char*> cases[] = {
      {0, "0"},          {0.123, "0.12"},     {9.994, "9.99"},  {9.996, "10.0"},   {99.94, "99.9"}, {99.96, "100"},
      {9999, "9999"},    {9999.6, "10.0k"},   {99'949, "99.9k"}, {99'960, "100k"}, {999'499, "999k"}, {999'600, "1.0M"},
      {-0.5, "-0.50"},   {-12345, "-12.3k"},  {1e15, "1e+15"},   {std::nan(""), "-"}};
  for (const auto& [value, text] : cases) EXPECT_EQ(ShortNumber(value), text) << value;
}

}  // namespace
}  // namespace prefscore::cli
