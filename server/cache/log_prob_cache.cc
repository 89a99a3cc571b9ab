// SPDX-License-Identifier: Apache-2.0
#include "server/cache/log_prob_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "server/cache/cache_value.h"

namespace prefscore {
namespace {

constexpr std::int64_t kEntryOverheadBytes = 64;                     // of a pending entry: key and table slot
constexpr absl::Duration kMeasurementInterval = absl::Seconds(1);  // of the size on disk, while writing
constexpr int kNumReaders = 2;

std::int64_t PendingBytes(const std::string& bytes) {
  return static_cast<std::int64_t>(bytes.size()) + kEntryOverheadBytes;
}

}  // namespace

// A lookup's reads, shared by the thread that makes them and the one that waits for them, either of which may be first.
struct LogProbCache::DiskRead {
  std::vector<CacheKey> keys;
  std::vector<DiskStore::Found> found;  // [keys], once it is done; this and the next under the cache's lock
  bool is_done = false;
  bool is_late = false;  // nobody waits for it any more
};

LogProbCache::LogProbCache(LogProbCacheOptions options, CacheObserver observer)
    : options_(std::move(options)), observer_(std::move(observer)), readers_(kNumReaders) {
  Open();
  writer_ = std::thread([this] { Loop(); });
}

LogProbCache::~LogProbCache() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  writer_.join();
}

bool LogProbCache::Close(std::unique_ptr<LogProbCache> cache, absl::Duration grace) {
  const auto is_closed = std::make_shared<absl::Notification>();
  std::thread([cache = std::move(cache), is_closed]() mutable {
    cache.reset();
    is_closed->Notify();
  }).detach();
  return is_closed->WaitForNotificationWithTimeout(grace);
}

std::vector<std::optional<CompletionLogProbs>> LogProbCache::Lookup(std::span<const CacheKey> keys) {
  std::vector<std::optional<std::string>> bytes(keys.size());
  std::vector<CacheKey> on_disk;
  std::vector<std::size_t> on_disk_index;
  {
    absl::MutexLock lock(&mutex_);
    for (std::size_t idx = 0; idx < keys.size(); ++idx) {
      if (const auto entry = pending_.find(keys[idx]); entry != pending_.end()) {
        bytes[idx] = entry->second;
        continue;
      }
      if (writing_ != nullptr) {
        if (const auto entry = writing_->find(keys[idx]); entry != writing_->end()) {
          bytes[idx] = entry->second;
          continue;
        }
      }
      on_disk.push_back(keys[idx]);
      on_disk_index.push_back(idx);
    }
  }
  std::vector<DiskStore::Found> found = ReadStore(std::move(on_disk));
  std::int64_t num_late = 0;
  for (std::size_t idx = 0; idx < found.size(); ++idx) {
    if (found[idx].is_late) ++num_late;
    if (found[idx].is_faulty) observer_.on_error(CacheError::kRead);
    bytes[on_disk_index[idx]] = std::move(found[idx].bytes);
  }

  std::vector<std::optional<CompletionLogProbs>> logps(keys.size());
  std::int64_t num_hits = 0;
  std::int64_t num_bytes = 0;
  for (std::size_t idx = 0; idx < keys.size(); ++idx) {
    if (!bytes[idx].has_value()) continue;
    logps[idx] = DecodeLogProbs(keys[idx], *bytes[idx]);
    if (logps[idx].has_value()) {
      ++num_hits;
      num_bytes += static_cast<std::int64_t>(bytes[idx]->size());
    } else {
      observer_.on_error(CacheError::kChecksum);
    }
  }
  observer_.on_lookup(num_hits, static_cast<std::int64_t>(keys.size()) - num_hits - num_late, num_bytes);
  if (num_late > 0) observer_.on_late(num_late);
  return logps;
}

// On a thread that may wait for the disk, which the caller's must not.
std::vector<DiskStore::Found> LogProbCache::ReadStore(std::vector<CacheKey> keys) {
  if (keys.empty()) return {};
  const std::vector<DiskStore::Found> late(keys.size(), DiskStore::Found{.bytes = {}, .is_late = true});
  const auto read = std::make_shared<DiskRead>();
  read->keys = std::move(keys);
  {
    absl::MutexLock lock(&mutex_);
    if (!is_readable_) return {};
    if (num_late_reads_ > 0) return late;
    ++num_readers_;
  }
  readers_.Post([this, read] {
    std::vector<DiskStore::Found> found = store_->Read(read->keys);
    absl::MutexLock lock(&mutex_);
    read->found = std::move(found);
    read->is_done = true;
    --num_readers_;
    if (read->is_late) --num_late_reads_;
  });
  absl::MutexLock lock(&mutex_);
  if (AwaitSteadily(mutex_, absl::Condition(&read->is_done), options_.read_timeout)) return std::move(read->found);
  read->is_late = true;
  ++num_late_reads_;
  return late;
}

void LogProbCache::Store(const CacheKey& key, const CompletionLogProbs& logps) {
  std::string bytes = EncodeLogProbs(key, logps);
  {
    absl::MutexLock lock(&mutex_);
    if (pending_bytes_ + PendingBytes(bytes) <= options_.max_pending_bytes) {
      std::string& slot = pending_[key];
      if (!slot.empty()) pending_bytes_ -= PendingBytes(slot);
      pending_bytes_ += PendingBytes(bytes);
      slot = std::move(bytes);
      return;
    }
  }
  observer_.on_dropped(1);
}

void LogProbCache::Flush() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](LogProbCache* cache) ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return cache->pending_.empty() && cache->writing_ == nullptr;
      },
      this));
}

CacheState LogProbCache::state() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

void LogProbCache::Loop() {
  for (;;) {
    std::shared_ptr<const StoreEntries> entries;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](LogProbCache* cache) ABSL_NO_THREAD_SAFETY_ANALYSIS {
            return cache->stopping_ || !cache->pending_.empty();
          },
          this));
      if (pending_.empty()) break;
      entries = writing_ = std::make_shared<const StoreEntries>(std::exchange(pending_, {}));
      pending_bytes_ = 0;
    }
    if (state() != CacheState::kServing && options_.now() >= next_attempt_) Cure();
    Write(*entries);
    absl::MutexLock lock(&mutex_);
    writing_ = nullptr;
  }
  Close();
}

void LogProbCache::Write(const StoreEntries& entries) {
  const auto num_entries = static_cast<std::int64_t>(entries.size());
  if (state() != CacheState::kServing) return observer_.on_dropped(num_entries);
  const absl::Status status = store_->Write(entries);
  if (!status.ok()) {
    observer_.on_error(CacheError::kWrite);
    observer_.on_dropped(num_entries);
    Warn(absl::StrCat("cannot write, entries are dropped until it can: ", std::string(status.message())));
    if (absl::IsDataLoss(status)) {
      Close();
      return Open(/*is_damaged=*/true);
    }
    next_attempt_ = options_.now() + options_.retry_interval;
    return SetState(CacheState::kNotWriting);
  }
  std::int64_t num_bytes = 0;
  for (const auto& [key, bytes] : entries) num_bytes += static_cast<std::int64_t>(key.size() + bytes.size());
  observer_.on_written(num_entries, num_bytes);
  if (options_.now() < next_measurement_) return;
  next_measurement_ = options_.now() + kMeasurementInterval;
  observer_.on_stored_bytes(store_->BytesOnDisk());
}

void LogProbCache::Cure() {
  next_attempt_ = options_.now() + options_.retry_interval;
  if (store_ != nullptr) {
    if (!store_->CheckDisk().ok()) return;
    Close();
  }
  Open();
}

void LogProbCache::Open(bool is_damaged) {
  std::string note;
  auto store = DiskStore::Open({.folder = options_.folder,
                                .max_bytes = options_.max_bytes,
                                .is_damaged = is_damaged,
                                .read_timeout = absl::ToChronoMicroseconds(options_.read_timeout),
                                .env = options_.env,
                                .on_evicted = observer_.on_evicted},
                               note);
  if (!note.empty()) {
    observer_.on_error(CacheError::kOpen);
    Warn(note);
  }
  if (!store.ok()) {
    observer_.on_error(CacheError::kOpen);
    Warn(absl::StrCat("unavailable, everything is computed: ", std::string(store.status().message())));
    next_attempt_ = options_.now() + options_.retry_interval;
    return SetState(CacheState::kUnavailable);
  }
  store_ = *std::move(store);
  const std::int64_t num_bytes = store_->BytesOnDisk();
  observer_.on_stored_bytes(num_bytes);
  warned_of_.clear();
  observer_.on_note(absl::StrCat("holds ", num_bytes, " bytes of at most ", options_.max_bytes));
  SetState(CacheState::kServing);
  absl::MutexLock lock(&mutex_);
  is_readable_ = true;
}

void LogProbCache::Close() {
  {
    absl::MutexLock lock(&mutex_);
    is_readable_ = false;
    mutex_.Await(absl::Condition(
        +[](LogProbCache* cache) ABSL_NO_THREAD_SAFETY_ANALYSIS { return cache->num_readers_ == 0; }, this));
  }
  store_.reset();
}

// Once: what is tried again and fails in the same way fills no log.
void LogProbCache::Warn(const std::string& fault) {
  if (fault != std::exchange(warned_of_, fault)) observer_.on_warning(fault);
}

void LogProbCache::SetState(CacheState state) {
  {
    absl::MutexLock lock(&mutex_);
    state_ = state;
  }
  observer_.on_state(state);
}

}  // namespace prefscore
