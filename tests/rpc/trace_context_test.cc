// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/trace_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace prefscore {
namespace {

using ::testing::MatchesRegex;

// The example of the standard.
constexpr char kExample[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContextTest, TakesTheStandardsExample) {
  const auto trace = ParseTraceparent(kExample);
  ASSERT_TRUE(trace.has_value());
  EXPECT_EQ(trace->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(trace->parent_span_id, "00f067aa0ba902b7");
  EXPECT_EQ(trace->flags, "01");
  EXPECT_THAT(trace->span_id, MatchesRegex("[0-9a-f]{16}"));
  EXPECT_NE(trace->span_id, trace->parent_span_id);
  EXPECT_EQ(trace->Response(), "00-4bf92f3577b34da6a3ce929d0e0e4736-" + trace->span_id + "-01");
}

// As the standard has it: unknown versions are read as this one, and may be longer.
TEST(TraceContextTest, TakesLaterVersions) {
  EXPECT_TRUE(ParseTraceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").has_value());
  EXPECT_TRUE(ParseTraceparent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what").has_value());
}

TEST(TraceContextTest, IgnoresWhatIsNotValid) {
  for (const char* invalid : {
           "",
           "00",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",      // too short
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",   // version 00 has no more
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",    //
           "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",    // no dash
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",     // no version
           "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",     //
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",     // upper case
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",     // zero
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",     //
           "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",     // dashes elsewhere
           "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",     //
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\n1",    //
       }) {
    EXPECT_FALSE(ParseTraceparent(invalid).has_value()) << invalid;
  }
}

TEST(TraceContextTest, IdsDiffer) {
  std::set<std::string> ids;
  for (int idx = 0; idx < 1000; ++idx) ids.insert(RandomHex(16));
  EXPECT_EQ(ids.size(), 1000);
}

}  // namespace
}  // namespace prefscore
