// SPDX-License-Identifier: Apache-2.0
// The log-probs of completions that were computed before, kept on disk across calls and restarts.
//
// It never fails, never waits for a write, and for a read no longer than read_timeout: trouble of any kind is a miss or
// a dropped entry, told to the observer and tried to be cured now and then. What it returns is what was stored for that
// key, bit by bit. A slow disk is no trouble but of no use: what it does not bring in time is computed, and until it has
// answered nobody else asks it.
//
// Invariant: an entry is pending (stored, not yet written), being written, or on disk; Lookup sees all three.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/cache/cache_key.h"
#include "server/cache/disk_store.h"
#include "server/util/completion_log_probs.h"
#include "server/util/steady_clock.h"
#include "server/util/worker_pool.h"

namespace prefscore {

enum class CacheState {
  kServing,
  kNotWriting,   // reads, but cannot write: the disk is full or failing
  kUnavailable,  // neither: the folder is another server's, or cannot be opened
};

enum class CacheError {
  kOpen,      // the folder could not be opened
  kRead,      // the disk failed or is damaged where an entry is
  kChecksum,  // an entry's bytes are not what was stored under its key
  kWrite,     // a batch could not be written
};

// What happened, for metrics and the log. Called from any thread; must return at once.
struct CacheObserver {
  std::function<void(std::int64_t hits, std::int64_t misses, std::int64_t bytes)> on_lookup = [](auto, auto, auto) {};
  std::function<void(std::int64_t entries)> on_late = [](auto) {};  // beside hits and misses: not read in time
  std::function<void(std::int64_t entries, std::int64_t bytes)> on_written = [](auto, auto) {};
  std::function<void(std::int64_t entries)> on_dropped = [](auto) {};  // never written
  std::function<void(std::int64_t entries)> on_evicted = [](auto) {};  // deleted to keep the size
  std::function<void(CacheError)> on_error = [](auto) {};
  std::function<void(CacheState)> on_state = [](auto) {};
  std::function<void(std::int64_t bytes)> on_stored_bytes = [](auto) {};  // on disk, now
  // Lines for the operator: what is as it should be, and what is not.
  std::function<void(const std::string&)> on_note = [](auto&) {};
  std::function<void(const std::string&)> on_warning = [](auto&) {};
};

struct LogProbCacheOptions {
  std::string folder = "";
  std::int64_t max_bytes = std::int64_t{4} << 30;        // on disk
  std::int64_t max_pending_bytes = std::int64_t{16} << 20;  // waiting to be written; what comes on top is dropped
  absl::Duration retry_interval = absl::Seconds(10);     // between attempts to cure a fault
  absl::Duration read_timeout = absl::Seconds(1);        // of a lookup, on a real clock
  std::function<absl::Time()> now = SteadyNow;
  rocksdb::Env* env = nullptr;  // null: the real one
};

// Thread-safe. Owns the threads that write and read; the destructor writes what is pending, waits for reads that are
// under way and joins them, however long the disk takes: see Close.
class LogProbCache {
 public:
  // Opens the folder, which takes as long as reading the last 64 MiB that were written. Whether that worked, the
  // observer is told.
  explicit LogProbCache(LogProbCacheOptions options, CacheObserver observer = {});
  ~LogProbCache();

  // Destroys the cache. Returns false where its disk does not let it within `grace`: what was pending is lost, the cache
  // lives on, and the process must end without destroying what its observer uses.
  static bool Close(std::unique_ptr<LogProbCache> cache, absl::Duration grace);

  // [keys]; nothing where the cache does not have it.
  std::vector<std::optional<CompletionLogProbs>> Lookup(std::span<const CacheKey> keys);

  // Keeps the log-probs, all finite, and returns at once. Replaces what was stored under the key.
  void Store(const CacheKey& key, const CompletionLogProbs& logps);

  // Until everything stored so far is written or dropped.
  void Flush();

  CacheState state() const;

 private:
  struct DiskRead;

  void Loop();
  void Open(bool is_damaged = false);
  void Close();
  void Cure();
  void Write(const StoreEntries& entries);
  void SetState(CacheState state);
  void Warn(const std::string& fault);

  // [keys], or empty where there is no store.
  std::vector<DiskStore::Found> ReadStore(std::vector<CacheKey> keys);

  const LogProbCacheOptions options_;
  const CacheObserver observer_;

  // Used by the writing thread only, but for store_ while readers are counted in.
  std::unique_ptr<DiskStore> store_;
  absl::Time next_attempt_ = absl::InfinitePast();
  absl::Time next_measurement_ = absl::InfinitePast();
  std::string warned_of_;  // the fault that it has now; empty: none

  mutable absl::Mutex mutex_;
  CacheState state_ ABSL_GUARDED_BY(mutex_) = CacheState::kUnavailable;
  bool is_readable_ ABSL_GUARDED_BY(mutex_) = false;  // a reader may come in
  int num_readers_ ABSL_GUARDED_BY(mutex_) = 0;       // inside store_
  int num_late_reads_ ABSL_GUARDED_BY(mutex_) = 0;    // of those, how many nobody waits for any more
  StoreEntries pending_ ABSL_GUARDED_BY(mutex_);
  std::int64_t pending_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const StoreEntries> writing_ ABSL_GUARDED_BY(mutex_);  // null: nothing is being written
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  WorkerPool readers_;
  std::thread writer_;
};

}  // namespace prefscore
