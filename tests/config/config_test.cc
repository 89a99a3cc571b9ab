// SPDX-License-Identifier: Apache-2.0
#include "server/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace prefscore {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

absl::StatusOr<CommandLine> Parse(std::vector<std::string> args) {
  std::vector<const char*> argv = {"prefscore-server"};
  for (const std::string& arg : args) argv.push_back(arg.c_str());
  return ParseCommandLine(static_cast<int>(argv.size()), argv.data());
}

// Two models under the names that need no further flags, and `more`.
absl::StatusOr<CommandLine> ParseWithModels(std::vector<std::string> more) {
  std::vector<std::string> args = {"--model", "policy=/p", "--model", "reference=/r"};
  args.insert(args.end(), more.begin(), more.end());
  return Parse(args);
}

std::string ErrorOf(const absl::StatusOr<CommandLine>& result) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

std::string WriteFile(const std::string& content) {
  const std::string path = testing::TempDir() + "prefscore_config_test.toml";
  std::ofstream(path) << content;
  return path;
}

TEST(ConfigTest, DefaultsAreThoseThatTheHelpStates) {
  const auto line = ParseWithModels({});
  ASSERT_TRUE(line.ok()) << line.status();
  const ServerConfig& config = line->config;
  ASSERT_EQ(config.models.folders.size(), 2);
  EXPECT_EQ(config.models.folders[0].name, "policy");
  EXPECT_EQ(config.models.folders[0].folder, "/p");
  EXPECT_EQ(config.models.policy, "policy");
  EXPECT_EQ(config.models.reference, "reference");
  EXPECT_EQ(config.listen.grpc, "127.0.0.1:50051");
  EXPECT_EQ(config.listen.metrics, "127.0.0.1:9464");
  EXPECT_EQ(config.device.dtype, "float32");
  EXPECT_EQ(config.shutdown.grace(), absl::Seconds(30));
  EXPECT_EQ(config.limits.max_pairs_per_request, 1024);
  EXPECT_EQ(config.limits.max_message_bytes, 64 << 20);
  EXPECT_EQ(config.limits.max_queued_tokens, 1048576);
  EXPECT_EQ(config.limits.max_stream_in_flight, 256);
}

TEST(ConfigTest, TheCacheIsInTheUsersCacheFolderUnlessToldOtherwise) {
  setenv("XDG_CACHE_HOME", "/xdg", 1);
  setenv("HOME", "/home/user", 1);
  EXPECT_EQ(ParseWithModels({})->config.cache.folder, "/xdg/prefscore");
  EXPECT_EQ(ParseWithModels({})->config.cache.max_bytes, std::int64_t{4} << 30);
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(ParseWithModels({})->config.cache.folder, "/home/user/.cache/prefscore");
  unsetenv("HOME");
  EXPECT_EQ(ParseWithModels({})->config.cache.folder, "");
  setenv("HOME", "/home/user", 1);
  const auto off = ParseWithModels({"--cache-dir", "", "--cache-max-bytes", "5000000"});
  ASSERT_TRUE(off.ok()) << off.status();
  EXPECT_EQ(off->config.cache.folder, "");
  const auto again = Parse({"--config", WriteFile(off->effective)});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config.cache.folder, "");
  EXPECT_EQ(again->config.cache.max_bytes, 5000000);
  EXPECT_THAT(ErrorOf(ParseWithModels({"--cache-max-bytes", "4000000"})),
              HasSubstr("--cache-max-bytes: 4000000 is outside [4194304, "));
}

TEST(ConfigTest, FlagsOverrideTheFileWhichOverridesDefaults) {
  const std::string file = WriteFile(
      "model = [\"policy=/from/file\", \"reference=/r\"]\n"
      "listen = \"127.0.0.1:1\"\n"
      "dtype = \"bfloat16\"\n"
      "max-batch-tokens = 77\n");
  const auto line = Parse({"--config", file, "--listen", "127.0.0.1:2"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.listen.grpc, "127.0.0.1:2");
  EXPECT_EQ(line->config.device.dtype, "bfloat16");
  EXPECT_EQ(line->config.limits.max_batch_tokens, 77);
  EXPECT_EQ(line->config.limits.max_objectives, 64);
  ASSERT_EQ(line->config.models.folders.size(), 2);
  EXPECT_EQ(line->config.models.folders[0].folder, "/from/file");
}

TEST(ConfigTest, NumbersOfTheFileKeepAllTheirDigits) {
  const std::string file = WriteFile("drain-delay = 1234.567\nshutdown-grace = 0.000001234567\n");
  const auto line = ParseWithModels({"--config", file});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.shutdown.delay_seconds, 1234.567);
  EXPECT_EQ(line->config.shutdown.grace_seconds, 0.000001234567);
  EXPECT_THAT(line->effective, HasSubstr("drain-delay = 1234.567\n"));
}

TEST(ConfigTest, EffectiveConfigurationReadsBackAsTheSame) {
  const auto first = ParseWithModels({"--cache-dir", "/a \"b\" \\c\nd = [#", "--listen", "127.0.0.1:0", "--metrics-listen", "", "--threads", "3",
                                      "--max-text-bytes", "123", "--shutdown-grace", "1.5", "--allow-plaintext"});
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Parse({"--config", WriteFile(first->effective)});
  ASSERT_TRUE(second.ok()) << second.status() << "\n" << first->effective;
  EXPECT_EQ(second->config.listen.grpc, "127.0.0.1:0");
  EXPECT_EQ(second->config.cache.folder, "/a \"b\" \\c\nd = [#");
  EXPECT_EQ(second->effective, first->effective);
  EXPECT_EQ(second->config.listen.metrics, "");
  EXPECT_EQ(second->config.device.num_threads, 3);
  EXPECT_EQ(second->config.limits.max_text_bytes, 123);
  EXPECT_EQ(second->config.shutdown.grace(), absl::Seconds(1.5));
  EXPECT_TRUE(second->config.transport.allow_plaintext);
  EXPECT_EQ(second->config.models.folders.size(), 2);
  EXPECT_THAT(first->effective, AllOf(HasSubstr("policy = 'policy'"), HasSubstr("reference = 'reference'")));
}

TEST(ConfigTest, RolesMustBeHosted) {
  EXPECT_THAT(ErrorOf(Parse({"--model", "a=/a"})), AllOf(HasSubstr("--policy"), HasSubstr("must name one of: a")));
  EXPECT_THAT(ErrorOf(Parse({"--model", "a=/a", "--policy", "a"})), HasSubstr("--reference"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--policy", "other"})),
              AllOf(HasSubstr("--policy"), HasSubstr("'other'"), HasSubstr("policy, reference")));
  const auto line = Parse({"--model", "a=/a", "--policy", "a", "--reference", "a"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.models.reference, "a");
}

TEST(ConfigTest, ModelsMustBeNamedFolders) {
  EXPECT_THAT(ErrorOf(Parse({})), HasSubstr("--model: no model is configured"));
  EXPECT_THAT(ErrorOf(Parse({"--model", "/just/a/folder"})), HasSubstr("'/just/a/folder' is not NAME=DIR"));
  EXPECT_THAT(ErrorOf(Parse({"--model", "=/a"})), HasSubstr("NAME=DIR"));
  EXPECT_THAT(ErrorOf(Parse({"--model", "a=/a", "--model", "a=/b"})), HasSubstr("'a' is used twice"));
}

TEST(ConfigTest, ErrorsNameFlagValueAndLimit) {
  EXPECT_THAT(ErrorOf(ParseWithModels({"--dtype", "int8"})),
              AllOf(HasSubstr("--dtype"), HasSubstr("'int8'"), HasSubstr("float32, bfloat16")));
  for (const char* device : {"tpu", "cuda", "cuda:", "cuda:-1", "cuda:01", "cuda:1x", "cuda:99999999999"}) {
    EXPECT_THAT(ErrorOf(ParseWithModels({"--device", device})),
                AllOf(HasSubstr("--device"), HasSubstr("auto, cpu, cuda:N")));
  }
  EXPECT_EQ(ParseWithModels({"--device", "cuda:1"})->config.device.device, "cuda:1");
  EXPECT_THAT(ErrorOf(ParseWithModels({"--listen", "nowhere"})), AllOf(HasSubstr("--listen"), HasSubstr("'nowhere'")));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--listen", "h:65536"})), HasSubstr("[0, 65535]"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--metrics-listen", ":1"})), HasSubstr("--metrics-listen"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--threads", "-1"})), AllOf(HasSubstr("--threads"), HasSubstr("[0, 1024]")));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--drain-delay", "3601"})), HasSubstr("--drain-delay: 3601 is outside [0, 3600]"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--shutdown-grace", "-1"})), HasSubstr("[0, 3600]"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--shutdown-grace", "nan"})), HasSubstr("[0, 3600]"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--max-pairs-per-request", "0"})),
              AllOf(HasSubstr("--max-pairs-per-request: 0"), HasSubstr("[1, 1048576]")));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--max-message-bytes", "2147483648"})), HasSubstr("2147483647]"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--max-text-bytes", "much"})), HasSubstr("--max-text-bytes"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--no-such-flag"})), HasSubstr("--no-such-flag"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--config", "/no/such/file"})), HasSubstr("/no/such/file"));
}

TEST(ConfigTest, TheLogIsTextFromInfoOnWithoutContentUnlessToldOtherwise) {
  const LoggingOptions defaults = ParseWithModels({})->config.logging;
  EXPECT_EQ(defaults.log_format(), LogFormat::kText);
  EXPECT_EQ(defaults.log_level(), LogLevel::kInfo);
  EXPECT_EQ(defaults.slow_request_ms, 0);
  EXPECT_FALSE(defaults.with_content);
  const LoggingOptions told = ParseWithModels({"--log-format", "json", "--log-level", "error", "--slow-request-ms",
                                               "250", "--log-content", "true"})
                                  ->config.logging;
  EXPECT_EQ(told.log_format(), LogFormat::kJson);
  EXPECT_EQ(told.log_level(), LogLevel::kError);
  EXPECT_EQ(told.slow_request_ms, 250);
  EXPECT_TRUE(told.with_content);
  EXPECT_THAT(ErrorOf(ParseWithModels({"--log-format", "xml"})), AllOf(HasSubstr("--log-format"), HasSubstr("'xml'")));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--log-level", "trace"})), HasSubstr("debug, info, warning, error"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--slow-request-ms", "-1"})), HasSubstr("--slow-request-ms: -1"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--log-content", "maybe"})), HasSubstr("--log-content"));
}

TEST(ConfigTest, UnknownKeysOfTheFileAreRefused) {
  EXPECT_THAT(ErrorOf(ParseWithModels({"--config", WriteFile("threads = 1\nmax-batch-token = 7\n")})),
              HasSubstr("--config: line 2: 'max-batch-token' is no option"));
  EXPECT_THAT(ErrorOf(ParseWithModels({"--config", WriteFile("check-config = true\n")})), HasSubstr("'check-config'"));
}

TEST(ConfigTest, FilesAreStrictToml) {
  for (const auto& [content, fault] : std::vector<std::pair<std::string, std::string>>{
           {"listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n", "line 2"},
           {"threads = 1\nlisten = 127.0.0.1:1\n", "line 2"},
           {"listen = \"127.0.0.1:1\n", "line 1"},
           {"just words\n", "line 1"},
           {"threads = 1\n[limits]\nmax-objectives = 3\n", "line 2: 'limits' is no option"},
           {"threads = 1\n\nlisten = 2026-01-01\n", "line 3: 'listen'"},
           {"model = [[\"policy=/p\"]]\n", "line 1: 'model'"}}) {
    EXPECT_THAT(ErrorOf(ParseWithModels({"--config", WriteFile(content)})),
                AllOf(HasSubstr("--config"), HasSubstr(fault)))
        << content;
  }
}

TEST(ConfigTest, FilesMayHoldCommentsAndSpreadArraysOverLines) {
  const auto line = Parse({"--config", WriteFile("# models\n"
                                                 "model = [\n"
                                                 "  \"policy=/with # and = and \\\"quotes\\\"\",  # a comment\n"
                                                 "  \"reference=/r\",\n"
                                                 "]\n"
                                                 "shutdown-grace = 2.5\n"
                                                 "max-queued-tokens = 1_000_000\n")});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.models.folders[0].folder, "/with # and = and \"quotes\"");
  EXPECT_EQ(line->config.shutdown.grace(), absl::Seconds(2.5));
  EXPECT_EQ(line->config.limits.max_queued_tokens, 1000000);
}

TEST(ConfigTest, CheckConfigIsNoPartOfTheConfiguration) {
  EXPECT_FALSE(ParseWithModels({})->check_only);
  const auto line = ParseWithModels({"--check-config"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_TRUE(line->check_only);
  EXPECT_THAT(line->effective, Not(HasSubstr("check-config")));
}

TEST(ConfigTest, HelpTeachesAndVersionTells) {
  const auto help = Parse({"--help"});
  ASSERT_TRUE(help.ok());
  EXPECT_THAT(help->text, AllOf(HasSubstr("--model NAME=DIR"), HasSubstr("Example:"), HasSubstr("127.0.0.1:50051"),
                                HasSubstr("--max-queued-tokens")));
  const auto version = Parse({"--version"});
  ASSERT_TRUE(version.ok());
  EXPECT_EQ(version->text, std::string("prefscore-server ") + kVersion + "\n");
}

}  // namespace
}  // namespace prefscore
