// SPDX-License-Identifier: Apache-2.0
#include "server/logging/logger.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

// A log into a pipe.
class LoggerTest : public ::testing::Test {
 protected:
  LoggerTest() {
    EXPECT_EQ(pipe(pipe_), 0);
    options_.descriptor = pipe_[1];
    options_.now = [] { return absl::UnixEpoch(); };
  }
  ~LoggerTest() override {
    logger_.reset();
    close(pipe_[1]);
    if (pipe_[0] >= 0) close(pipe_[0]);
  }

  void Start() { logger_.emplace(options_); }
  void CloseReader() {
    close(pipe_[0]);
    pipe_[0] = -1;
  }

  // What the log holds once it is closed.
  std::string ReadAll() {
    logger_.reset();
    close(pipe_[1]);
    pipe_[1] = dup(pipe_[0]);  // something to close later
    return ReadSome();
  }

  std::string ReadSome() {
    fcntl(pipe_[0], F_SETFL, O_NONBLOCK);
    std::string text;
    char buffer[65536];
    for (ssize_t count; (count = read(pipe_[0], buffer, sizeof(buffer))) > 0;) text.append(buffer, count);
    return text;
  }

  LoggerOptions options_;
  int pipe_[2] = {-1, -1};
  std::optional<Logger> logger_;
};

TEST_F(LoggerTest, WritesLinesInTheirOrderAndAllOfThemBeforeItEnds) {
  Start();
  for (int idx = 0; idx < 100; ++idx) logger_->Log(LogLevel::kInfo, absl::StrCat("line ", idx));
  const auto lines = Lines(ReadAll());
  ASSERT_EQ(lines.size(), 100);
  EXPECT_EQ(lines[0], "1970-01-01T00:00:00.000Z info line 0");
  EXPECT_THAT(lines[99], EndsWith("line 99"));
}

TEST_F(LoggerTest, TheLevelChangesAtRunTime) {
  Start();
  EXPECT_EQ(logger_->level(), LogLevel::kInfo);
  logger_->Log(LogLevel::kDebug, "not yet");
  logger_->SetLevel(LogLevel::kDebug);
  EXPECT_TRUE(logger_->IsLogged(LogLevel::kDebug));
  logger_->Log(LogLevel::kDebug, "now");
  logger_->SetLevel(LogLevel::kError);
  EXPECT_FALSE(logger_->IsLogged(LogLevel::kWarning));
  logger_->Log(LogLevel::kWarning, "no more");
  EXPECT_THAT(Lines(ReadAll()), ElementsAre(EndsWith(" debug now")));
}

TEST_F(LoggerTest, LinesOfManyThreadsAreWhole) {
  Start();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      for (int idx = 0; idx < 100; ++idx) logger_->Log(LogLevel::kInfo, std::string(50, static_cast<char>('a' + thread)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto lines = Lines(ReadAll());
  EXPECT_EQ(lines.size(), 400);
  for (const std::string& line : lines) EXPECT_EQ(line.find_first_not_of(line.back(), line.size() - 50), std::string::npos);
}

TEST_F(LoggerTest, ALineLongerThanAPipeTakesAtOnceIsWhole) {
  Start();
  logger_->Log(LogLevel::kInfo, "m", {{"long", std::string(20'000, 'x')}});
  EXPECT_THAT(Lines(ReadAll()), ElementsAre(EndsWith(" m long=" + std::string(20'000, 'x'))));
}

// The pipe holds 64 KiB, the queue 1000 lines of 132 bytes; nobody reads. This test ends: nobody who logs waits for the
// reader, and neither does the end, for longer than its patience of a second.
TEST_F(LoggerTest, AStuckReaderStopsNobodyAndWhatIsLostIsCounted) {
  options_.max_queued_lines = 1000;
  Start();
  constexpr int kNumLines = 3000;
  for (int idx = 0; idx < kNumLines; ++idx) logger_->Log(LogLevel::kInfo, std::string(100, 'x'));
  EXPECT_GT(logger_->num_dropped_lines(), kNumLines - 1000 - 600) << "more than that no pipe and queue can hold";
  const std::size_t num_written = Lines(ReadAll()).size();
  EXPECT_GT(num_written, 100);
  EXPECT_LT(num_written, 600);
}

// Once the reader reads again: the number that is told and what arrives make all that was logged.
TEST_F(LoggerTest, TellsWhatWasDroppedOnceItCan) {
  options_.max_queued_lines = 10;
  Start();
  constexpr int kNumLines = 2000;
  for (int idx = 0; idx < kNumLines; ++idx) logger_->Log(LogLevel::kInfo, std::string(100, 'x'));
  std::string text = ReadSome();
  logger_->Log(LogLevel::kInfo, "after");
  text += ReadAll();
  std::int64_t num_told = 0;
  int num_whole = 0;
  bool is_last_there = false;
  for (const std::string& line : Lines(text)) {
    const std::vector<std::string> parts = absl::StrSplit(line, "log lines were dropped dropped_lines=");
    std::int64_t count = 0;
    if (parts.size() == 2 && absl::SimpleAtoi(parts[1], &count)) num_told += count;
    num_whole += absl::EndsWith(line, " " + std::string(100, 'x')) ? 1 : 0;
    is_last_there = is_last_there || absl::EndsWith(line, "info after");
  }
  EXPECT_TRUE(is_last_there) << text.substr(text.size() - 300);
  EXPECT_GT(num_told, 0);
  EXPECT_EQ(num_told + num_whole, kNumLines);
}

// SIGPIPE would end this process.
TEST_F(LoggerTest, AReaderThatIsGoneEndsNothing) {
  Start();
  CloseReader();
  for (int idx = 0; idx < 100; ++idx) logger_->Log(LogLevel::kInfo, "nobody reads this");
  logger_.reset();
}

TEST(LoggerFileTest, AFullDiskDropsLinesAndCountsThem) {
  const int full = open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  LoggerOptions options;
  options.descriptor = full;
  Logger logger(options);
  for (int idx = 0; idx < 5; ++idx) logger.Log(LogLevel::kError, "lost");
  const absl::Time give_up_at = absl::Now() + absl::Seconds(30);
  while (logger.num_dropped_lines() < 5 && absl::Now() < give_up_at) absl::SleepFor(absl::Milliseconds(2));
  EXPECT_EQ(logger.num_dropped_lines(), 5);
  close(full);
}

}  // namespace
}  // namespace prefscore
