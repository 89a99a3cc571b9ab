// SPDX-License-Identifier: Apache-2.0
#include "server/cache/log_prob_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "tests/cache/cache_test_base.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

using LogProbCacheTest = CacheTestBase;

std::int64_t SizeOf(const std::filesystem::path& folder) {
  std::int64_t num_bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, ignored)) {
    const auto size = entry.file_size(ignored);
    if (!ignored) num_bytes += static_cast<std::int64_t>(size);
  }
  return num_bytes;
}

TEST_F(LogProbCacheTest, FindsWhatWasStoredAtOnceAndAfterARestart) {
  Open();
  EXPECT_EQ(cache_->state(), CacheState::kServing);
  EXPECT_EQ(CountRight(0, 10), 0);
  for (std::uint32_t index = 0; index < 10; ++index) {
    cache_->Store(KeyOf(index), LogpsOf(index));
    EXPECT_EQ(CountRight(index, index + 1), 1) << "pending, being written or written";
  }
  cache_->Flush();
  EXPECT_EQ(CountRight(0, 20), 10);
  EXPECT_EQ(told_["hits"], 20);
  EXPECT_EQ(told_["misses"], 20);
  EXPECT_EQ(told_["written"], 10);
  Open();
  EXPECT_EQ(CountRight(0, 20), 10);
  EXPECT_EQ(told_["dropped"] + told_["open errors"] + told_["read errors"] + told_["checksum errors"], 0);
}

TEST_F(LogProbCacheTest, TheNewestValueOfAKeyIsRead) {
  Open();
  for (const std::uint32_t value : {1u, 2u, 3u}) {
    cache_->Store(KeyOf(0), LogpsOf(value));
    EXPECT_EQ(cache_->Lookup({{KeyOf(0)}})[0], LogpsOf(value));
    cache_->Flush();
    EXPECT_EQ(cache_->Lookup({{KeyOf(0)}})[0], LogpsOf(value));
  }
}

TEST_F(LogProbCacheTest, KeepsItsSizeByLettingTheOldestGo) {
  constexpr std::int64_t kMaxBytes = 4 << 20;
  constexpr std::uint32_t kNumEntries = 50'000;  // 18 MB
  Open({.max_bytes = kMaxBytes});
  std::int64_t largest = 0;
  for (std::uint32_t begin = 0; begin < kNumEntries; begin += 500) {
    StoreRange(begin, begin + 500);
    largest = std::max(largest, SizeOf(temp_.path()));
  }
  EXPECT_LE(largest, kMaxBytes);
  EXPECT_GE(largest, kMaxBytes / 2) << "the room is used";
  EXPECT_EQ(CountRight(0, 1000), 0) << "the oldest";
  EXPECT_EQ(CountRight(kNumEntries - 5000, kNumEntries), 5000) << "the newest";
  EXPECT_GT(told_["evicted"], kNumEntries / 2);
  EXPECT_EQ(told_["evicted"] + CountRight(0, kNumEntries), kNumEntries) << "evicted entries are counted";
}

TEST_F(LogProbCacheTest, ManyRestartsLeaveFewFiles) {
  for (std::uint32_t restart = 0; restart < 60; ++restart) {
    Open({.max_bytes = 4 << 20});
    StoreRange(restart * 10, restart * 10 + 10);
  }
  EXPECT_EQ(CountRight(0, 600), 600);
  cache_.reset();
  std::int64_t num_files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(store())) ++num_files;
  EXPECT_LE(num_files, 80);
  EXPECT_LE(SizeOf(temp_.path()), 4 << 20);
}

TEST_F(LogProbCacheTest, WhatDoesNotFitTheWriteQueueIsDroppedAndCounted) {
  Open({.max_pending_bytes = 1});
  cache_->Store(KeyOf(0), LogpsOf(0));
  cache_->Flush();
  EXPECT_EQ(CountRight(0, 1), 0);
  EXPECT_EQ(told_["dropped"], 1);
}

TEST_F(LogProbCacheTest, ASecondCacheOfAFolderServesNothingUntilTheFirstIsGone) {
  Open();
  StoreRange(0, 10);
  absl::Time now = absl::UnixEpoch();
  Told told;
  LogProbCache second({.folder = folder(), .retry_interval = absl::Seconds(10), .now = [&now] { return now; }},
                      told.Observer());
  EXPECT_EQ(second.state(), CacheState::kUnavailable);
  EXPECT_THAT(told.notes(), HasSubstr("another server uses the folder"));
  EXPECT_FALSE(second.Lookup({{KeyOf(0)}})[0].has_value());
  second.Store(KeyOf(100), LogpsOf(100));
  second.Flush();
  EXPECT_EQ(told["dropped"], 1);
  EXPECT_EQ(CountRight(0, 10), 10) << "the first is not disturbed";
  const std::string notes = told.notes();
  now += absl::Seconds(11);
  second.Store(KeyOf(100), LogpsOf(100));
  second.Flush();
  EXPECT_EQ(told["open errors"], 2) << "it tried again";
  EXPECT_EQ(told.notes(), notes) << "and said nothing new";

  cache_.reset();
  now += absl::Seconds(11);
  second.Store(KeyOf(101), LogpsOf(101));
  second.Flush();
  EXPECT_EQ(second.state(), CacheState::kServing) << "it takes over";
  EXPECT_EQ(second.Lookup({{KeyOf(101)}})[0], LogpsOf(101));
  EXPECT_EQ(second.Lookup({{KeyOf(3)}})[0], LogpsOf(3));
}

TEST_F(LogProbCacheTest, AFolderThatCannotBeMadeOrWrittenIsNoCache) {
  std::ofstream(temp_.path() / "cache") << "a file where the folder should be";
  Open();
  EXPECT_EQ(cache_->state(), CacheState::kUnavailable);
  EXPECT_THAT(told_.notes(), HasSubstr("WARNING: unavailable, everything is computed: cannot make the folder"));
  cache_->Store(KeyOf(0), LogpsOf(0));
  cache_->Flush();
  EXPECT_EQ(CountRight(0, 1), 0);
  EXPECT_EQ(told_["dropped"], 1);

  Told told;
  LogProbCache proc({.folder = "/proc"}, told.Observer());  // nobody can make a file there, root neither
  EXPECT_EQ(proc.state(), CacheState::kUnavailable);
  EXPECT_THAT(told.notes(), HasSubstr("cannot open /proc"));
}

TEST_F(LogProbCacheTest, ThreadsStoreAndLookUpAtOnce) {
  Open();
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      for (std::uint32_t index = thread; index < 4000; index += 4) {
        cache_->Store(KeyOf(index), LogpsOf(index));
        CountRight(index / 2, index / 2 + 8);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cache_->Flush();
  EXPECT_EQ(CountRight(0, 4000), 4000);
}

}  // namespace
}  // namespace prefscore
