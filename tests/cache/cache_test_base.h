// SPDX-License-Identifier: Apache-2.0
// A cache in a folder of its own, what it tells its observer, and entries that a test can work out.
#pragma once

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "server/cache/log_prob_cache.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {

inline CacheKey KeyOf(std::uint32_t index) { return MakeCacheKey({"digest", "mode", "float32"}, {index}, {7}); }

// The entry's log-probs: `count` doubles with full mantissas. Every other entry is a greedy match.
inline CompletionLogProbs LogpsOf(std::uint32_t index, std::size_t count = 40) {
  CompletionLogProbs logps{.token_logps = {}, .is_greedy_match = index % 2 == 1};
  for (std::size_t idx = 0; idx < count; ++idx) logps.token_logps.push_back(-std::sqrt(index + idx + 0.1));
  return logps;
}

// What a cache told, summed up. Thread-safe.
class Told {
 public:
  CacheObserver Observer() {
    CacheObserver observer;
    observer.on_lookup = [this](auto hits, auto misses, auto) {
      Add("hits", hits);
      Add("misses", misses);
    };
    observer.on_late = [this](auto entries) { Add("late", entries); };
    observer.on_written = [this](auto entries, auto) { Add("written", entries); };
    observer.on_dropped = [this](auto entries) { Add("dropped", entries); };
    observer.on_evicted = [this](auto entries) { Add("evicted", entries); };
    observer.on_error = [this](CacheError error) {
      constexpr const char* kNames[] = {"open errors", "read errors", "checksum errors", "write errors"};
      Add(kNames[static_cast<int>(error)], 1);
    };
    observer.on_note = [this](const std::string& note) { AddLine("", note); };
    observer.on_warning = [this](const std::string& fault) { AddLine("WARNING: ", fault); };
    return observer;
  }

  std::int64_t operator[](const std::string& what) {
    absl::MutexLock lock(&mutex_);
    return sums_[what];
  }
  std::string notes() {
    absl::MutexLock lock(&mutex_);
    return notes_;
  }

 private:
  void AddLine(const std::string& start, const std::string& line) {
    absl::MutexLock lock(&mutex_);
    notes_ += start + line + "\n";
  }
  void Add(const std::string& what, std::int64_t count) {
    absl::MutexLock lock(&mutex_);
    sums_[what] += count;
  }

  absl::Mutex mutex_;
  std::map<std::string, std::int64_t> sums_;
  std::string notes_;
};

class CacheTestBase : public ::testing::Test {
 protected:
  std::string folder() const { return (temp_.path() / "cache").string(); }
  std::filesystem::path store() const { return temp_.path() / "cache" / "prefscore-logprobs-1"; }

  void Open(LogProbCacheOptions options = {}) {
    cache_.reset();
    options.folder = folder();
    // Entries that are read late, on a machine that is short of processors, would look like ones that are lost.
    if (options.read_timeout == LogProbCacheOptions().read_timeout) options.read_timeout = absl::Seconds(60);
    if (options.max_bytes > (8 << 20)) options.max_bytes = 8 << 20;  // small files
    cache_ = std::make_unique<LogProbCache>(std::move(options), told_.Observer());
  }

  void StoreRange(std::uint32_t begin, std::uint32_t end, std::size_t count = 40) {
    for (std::uint32_t index = begin; index < end; ++index) {
      cache_->Store(KeyOf(index), LogpsOf(index, count));
      if (index % 100 == 99) cache_->Flush();
    }
    cache_->Flush();
  }

  // How many of the entries are found; fails the test where one is not what was stored.
  std::int64_t CountRight(std::uint32_t begin, std::uint32_t end, std::size_t count = 40) {
    std::vector<CacheKey> keys;
    for (std::uint32_t index = begin; index < end; ++index) keys.push_back(KeyOf(index));
    const auto found = cache_->Lookup(keys);
    std::int64_t num_found = 0;
    for (std::uint32_t index = begin; index < end; ++index) {
      if (!found[index - begin].has_value()) continue;
      ++num_found;
      EXPECT_EQ(*found[index - begin], LogpsOf(index, count)) << "entry " << index;
    }
    return num_found;
  }

  testing::TempFolder temp_;
  Told told_;
  std::unique_ptr<LogProbCache> cache_;
};

}  // namespace prefscore
