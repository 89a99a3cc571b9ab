// SPDX-License-Identifier: Apache-2.0
#include "server/logging/log_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace prefscore {
namespace {

using ::testing::StrEq;

absl::Time SomeTime() { return absl::FromUnixMillis(1'790'000'000'007); }

std::string Text(std::string_view message, const LogFields& fields) {
  return LogLine(LogFormat::kText, SomeTime(), LogLevel::kInfo, message, fields);
}

TEST(LogLineTest, TextReadsAsASentenceWithFields) {
  EXPECT_THAT(Text("listening on 127.0.0.1:50051", {{"pairs", 3}, {"model", "policy"}, {"note", "two words"}}),
              StrEq("2026-09-21T14:13:20.007Z info listening on 127.0.0.1:50051 pairs=3 model=policy "
                    "note=\"two words\"\n"));
}

TEST(LogLineTest, JsonIsOneObjectWithNumbersAsNumbers) {
  const std::string line = LogLine(LogFormat::kJson, SomeTime(), LogLevel::kError, "it failed",
                                   {{"pairs", std::int64_t{-3}}, {"model", "a \"b\" \\"}});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json, (nlohmann::json{{"time", "2026-09-21T14:13:20.007Z"},
                                  {"level", "error"},
                                  {"message", "it failed"},
                                  {"pairs", -3},
                                  {"model", "a \"b\" \\"}}));
}

TEST(LogLineTest, ValuesThatCouldBeReadAsMoreThanOneAreQuoted) {
  EXPECT_THAT(Text("m", {{"empty", ""}, {"pair", "a=b"}, {"quote", "\""}, {"back", "\\n"}}),
              StrEq("2026-09-21T14:13:20.007Z info m empty=\"\" pair=\"a=b\" quote=\"\\\"\" back=\"\\\\n\"\n"));
}

// A caller's text must forge no line and send no terminal a command: not with control characters of ASCII, of Latin-1
// (U+009B begins a command) or of Unicode (U+202E turns the writing around), and not with bytes that are no UTF-8.
TEST(LogLineTest, NothingLeavesItsLine) {
  const std::string evil = std::string("a\n2026 info b\r\x1b[2J\x7f\xc2\x9b\xe2\x80\xae\xff", 31) + '\0';
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = LogLine(format, SomeTime(), LogLevel::kInfo, evil, {{evil, evil}});
    ASSERT_FALSE(line.empty());
    for (std::size_t idx = 0; idx + 1 < line.size(); ++idx) {
      EXPECT_TRUE(line[idx] >= ' ' && line[idx] <= '~') << idx << " in " << line;
    }
    EXPECT_EQ(line.back(), '\n');
  }
  const auto json = nlohmann::json::parse(LogLine(LogFormat::kJson, SomeTime(), LogLevel::kInfo, evil, {}));
  EXPECT_EQ(json["message"].get<std::string>().substr(0, 14), "a\n2026 info b\r");
}

}  // namespace
}  // namespace prefscore
