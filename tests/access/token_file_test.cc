// SPDX-License-Identifier: Apache-2.0
#include "server/access/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

const std::string kHash(64, 'a');

// An entry that is right, with `more` lines.
std::string Entry(const std::string& more, const std::string& name = "trainer", const std::string& hash = kHash) {
  return absl::StrCat("[[token]]\nname = \"", name, "\"\nsha256 = \"", hash, "\"\nroles = [\"score\"]\n", more, "\n");
}

TEST(TokenFileTest, ReadsEveryField) {
  const auto entries = ParseTokenFile("tokens.toml", absl::StrCat(R"(
# Tokens of the cluster.
[[token]]
name = "trainer-1@cluster"
sha256 = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
roles = ["score", "metrics"]
tokens_per_second = 2e4
burst_tokens = 100_000
concurrent_tokens = 500000
expires = 2027-01-31T18:00:00+02:00
)", Entry("expires = 2027-01-31", "other")));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2);
  const TokenEntry& entry = entries->front();
  EXPECT_EQ(entry.name, "trainer-1@cluster");
  EXPECT_EQ(entry.digest[0], 0x01);
  EXPECT_EQ(entry.digest[15], 0xEF);
  EXPECT_TRUE(entry.Has(Role::kScore));
  EXPECT_TRUE(entry.Has(Role::kMetrics));
  EXPECT_FALSE(entry.Has(Role::kAdmin));
  EXPECT_EQ(entry.quota.tokens_per_second, 20000);
  EXPECT_EQ(entry.quota.burst_tokens, 100000);
  EXPECT_EQ(entry.quota.concurrent_tokens, 500000);
  EXPECT_EQ(entry.expiry, absl::FromCivil(absl::CivilSecond(2027, 1, 31, 16, 0, 0), absl::UTCTimeZone()));
  EXPECT_EQ((*entries)[1].expiry, absl::FromCivil(absl::CivilSecond(2027, 1, 31, 0, 0, 0), absl::UTCTimeZone()));
}

TEST(TokenFileTest, WhatIsLeftOutIsNotLimited) {
  const auto entries = ParseTokenFile("tokens.toml", Entry(""));
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_FALSE(entries->front().quota.tokens_per_second.has_value());
  EXPECT_FALSE(entries->front().quota.concurrent_tokens.has_value());
  EXPECT_EQ(entries->front().expiry, absl::InfiniteFuture());
  const auto with_rate = ParseTokenFile("tokens.toml", Entry("tokens_per_second = 7"));
  ASSERT_TRUE(with_rate.ok());
  EXPECT_EQ(with_rate->front().quota.burst_tokens, 70) << "those of 10 s";
}

struct Fault {
  std::string name;
  std::string text;
  std::string message;  // what the error says, whole
};

class TokenFileFaultTest : public ::testing::TestWithParam<Fault> {};

TEST_P(TokenFileFaultTest, IsNamed) {
  const auto entries = ParseTokenFile("tokens.toml", GetParam().text);
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(entries.status().message()), GetParam().message);
}

const std::string kFirst = "tokens.toml: token[0] 'trainer': ";

INSTANTIATE_TEST_SUITE_P(
    Faults, TokenFileFaultTest,
    ::testing::Values(
        Fault{"Empty", "", "tokens.toml: has no [[token]] table; with no token nobody could call the server"},
        Fault{"OneTable", "[token]\nname = \"a\"",
              "tokens.toml: has no [[token]] table; with no token nobody could call the server"},
        Fault{"OtherTable", Entry("") + "[quota]\n",
              "tokens.toml: 'quota' is unknown; the file has [[token]] tables only"},
        Fault{"NoTable", "token = [1]", "tokens.toml: token[0]: token: is no table"},
        Fault{"NoName", "[[token]]\n", "tokens.toml: token[0]: name: is missing or no string"},
        Fault{"BadName", Entry("", "a b\\n"),
              "tokens.toml: token[0]: name: 'a b\\n' is not 1 to 64 letters, digits or any of . _ - @"},
        Fault{"LongName", Entry("", std::string(65, 'n')),
              "tokens.toml: token[0]: name: '" + std::string(65, 'n') +
                  "' is not 1 to 64 letters, digits or any of . _ - @"},
        Fault{"NameTwice", Entry("") + Entry("", "trainer", std::string(64, 'b')),
              "tokens.toml: token[1]: name: 'trainer' is used twice"},
        Fault{"HashTwice", Entry("") + Entry("", "other"), "tokens.toml: token[1]: sha256: is that of an entry above"},
        Fault{"NoHash", "[[token]]\nname = \"trainer\"\n",
              kFirst + "sha256: is missing or no string; `prefscore token new` prints an entry"},
        Fault{"TokenForHash", Entry("", "trainer", "prefscore_secret"),
              kFirst + "sha256: is not a SHA-256 of 64 hexadecimal digits, but 16 characters (not shown: they may be a "
                       "token)"},
        Fault{"NoHexadecimal", Entry("", "trainer", std::string(64, 'g')),
              kFirst + "sha256: is not a SHA-256 of 64 hexadecimal digits, but 64 characters (not shown: they may be a "
                       "token)"},
        Fault{"NoRoles", "[[token]]\nname = \"trainer\"\nsha256 = \"" + kHash + "\"\nroles = []",
              kFirst + "roles: is missing or no list of one or more of: score, admin, metrics"},
        Fault{"UnknownRole", "[[token]]\nname = \"trainer\"\nsha256 = \"" + kHash + "\"\nroles = [\"root\"]",
              kFirst + "roles: 'root' is not one of: score, admin, metrics"},
        Fault{"RoleIsNumber", "[[token]]\nname = \"trainer\"\nsha256 = \"" + kHash + "\"\nroles = [1]",
              kFirst + "roles: '(no string)' is not one of: score, admin, metrics"},
        Fault{"UnknownField", Entry("token_per_second = 1"),
              kFirst + "token_per_second: is not one of: name, sha256, roles, tokens_per_second, burst_tokens, "
                       "concurrent_tokens, expires"},
        Fault{"RateIsText", Entry("tokens_per_second = \"1\""), kFirst + "tokens_per_second: is no number"},
        Fault{"NoRate", Entry("tokens_per_second = 0"), kFirst + "tokens_per_second: 0 is outside [1, 1e+12]"},
        Fault{"RateIsNan", Entry("tokens_per_second = nan"), kFirst + "tokens_per_second: nan is outside [1, 1e+12]"},
        Fault{"RateIsInfinite", Entry("tokens_per_second = inf"),
              kFirst + "tokens_per_second: inf is outside [1, 1e+12]"},
        Fault{"BurstAlone", Entry("burst_tokens = 5"),
              kFirst + "burst_tokens: needs tokens_per_second beside it: it is what may come at once above that rate"},
        Fault{"HalfToken", Entry("concurrent_tokens = 1.5"), kFirst + "concurrent_tokens: 1.5 is no whole number"},
        Fault{"NegativeTokens", Entry("concurrent_tokens = -1"),
              kFirst + "concurrent_tokens: -1 is outside [1, 1e+15]"},
        Fault{"LocalExpiry", Entry("expires = 2027-01-31T18:00:00"),
              kFirst + "expires: is no date with a time zone; as in 2027-01-31 (UTC) or 2027-01-31T18:00:00Z, without "
                       "quotes"},
        Fault{"QuotedExpiry", Entry("expires = \"2027-01-31\""),
              kFirst + "expires: is no date with a time zone; as in 2027-01-31 (UTC) or 2027-01-31T18:00:00Z, without "
                       "quotes"}),
    [](const auto& info) { return info.param.name; });

TEST(TokenFileTest, SyntaxErrorsNameTheLine) {
  const auto entries = ParseTokenFile("tokens.toml", Entry("expires = 2027-13-01"));
  EXPECT_THAT(std::string(entries.status().message()), HasSubstr("tokens.toml:5: "));
}

TEST(TokenFileTest, AsManyAsTheLimitAreRead) {
  const auto file = [](std::size_t num_tokens) {
    std::string text;
    for (std::size_t idx = 0; idx < num_tokens; ++idx) {
      const std::string number = absl::StrCat(1000000 + idx);
      text += Entry("", "n" + number, std::string(64 - number.size(), '0') + number);
    }
    return text;
  };
  EXPECT_TRUE(ParseTokenFile("tokens.toml", file(kMaxTokens)).ok());
  EXPECT_EQ(std::string(ParseTokenFile("tokens.toml", file(kMaxTokens + 1)).status().message()),
            "tokens.toml: has 1001 [[token]] tables; the limit is 1000");
}

class ReadTokenFileTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text, mode_t mode = 0600) {
    const std::string path = folder_.path() / "tokens.toml";
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
    return path;
  }
  std::string ErrorOf(const std::string& path) {
    const auto entries = ReadTokenFile(path);
    EXPECT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(entries.status().message()), HasSubstr(path));
    return std::string(entries.status().message());
  }

  testing::TempFolder folder_;
};

TEST_F(ReadTokenFileTest, ReadsAFile) {
  const auto entries = ReadTokenFile(Write(Entry("")));
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->entries.front().name, "trainer");
  EXPECT_EQ(entries->warning, "");
}

TEST_F(ReadTokenFileTest, APipeIsNotWaitedFor) {
  const std::string path = folder_.path() / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(ErrorOf(path), HasSubstr("is no file"));
}

TEST_F(ReadTokenFileTest, FaultsOfTheFileAreNamed) {
  EXPECT_THAT(ErrorOf(folder_.path() / "absent"), HasSubstr("cannot be read: No such file"));
  EXPECT_THAT(ErrorOf(folder_.path()), HasSubstr("is no file"));
  EXPECT_THAT(ErrorOf(Write(Entry(""), 0606)), HasSubstr("can be written by everybody"));
  EXPECT_THAT(ErrorOf(Write(Entry("") + std::string(kMaxTokenFileBytes, '#'))), HasSubstr("has more than 1048576 bytes, which is the limit"));
}

}  // namespace
}  // namespace prefscore
