// SPDX-License-Identifier: Apache-2.0
#include "server/cache/disk_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/cache/file_lock.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

namespace fs = std::filesystem;

constexpr char kStoreFolder[] = "prefscore-logprobs-1";  // the number is that of the format
constexpr char kLockFile[] = "prefscore-logprobs-1.lock";

constexpr std::chrono::seconds kMaxDeletionDelay{5};  // of tables that are too many, before it counts as a fault
constexpr std::size_t kProbeBytes = 64 << 10;  // written to find out whether a disk that was full has room again

rocksdb::Slice SliceOf(const CacheKey& key) {
  return rocksdb::Slice(reinterpret_cast<const char*>(key.data()), key.size());
}

absl::Status ToStatus(const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  if (status.IsCorruption()) return absl::DataLossError(status.ToString());
  return absl::UnavailableError(status.ToString());
}

// Whether what is on disk is no store that can be read, as opposed to a disk that is full or refuses.
bool IsUnreadable(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsNotFound() || status.IsPathNotFound() || status.IsInvalidArgument() ||
         status.IsNotSupported();
}

class EvictionListener final : public rocksdb::EventListener {
 public:
  explicit EvictionListener(std::function<void(std::int64_t)> on_evicted) : on_evicted_(std::move(on_evicted)) {}

  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& info) override {
    if (info.compaction_reason != rocksdb::CompactionReason::kFIFOMaxSize || !info.status.ok()) return;
    std::int64_t num_entries = 0;
    for (const auto& [file, properties] : info.table_properties) {
      num_entries += static_cast<std::int64_t>(properties->num_entries);
    }
    on_evicted_(num_entries);
  }

 private:
  const std::function<void(std::int64_t)> on_evicted_;
};

// The store is a queue of table files. FIFO compaction never rewrites a full one, deletes the oldest when all together
// exceed the bound, and so needs no space or time to make room; a read asks the filter of each file.
rocksdb::Options RocksOptions(const DiskStoreOptions& options) {
  rocksdb::Options rocks;
  if (options.env != nullptr) rocks.env = options.env;
  rocks.create_if_missing = true;

  // 64 files to a bound of 2 GiB or less, more beyond. On disk there are at most: the tables, two that are being
  // written, the log of two write buffers, and two files that are merged; and little for the manifest and RocksDB's own
  // log. 8 write buffers of 64 leave room for it all.
  const std::uint64_t write_buffer_bytes = std::clamp<std::int64_t>(options.max_bytes / 64, 64 << 10, 32 << 20);
  rocks.compaction_style = rocksdb::kCompactionStyleFIFO;
  rocks.compaction_options_fifo.max_table_files_size = options.max_bytes - 8 * write_buffer_bytes;
  rocks.compaction_options_fifo.allow_compaction = true;  // merges the small files that restarts leave
  rocks.max_compaction_bytes = 2 * write_buffer_bytes;
  rocks.ttl = 0;  // log-probs do not age
  rocks.num_levels = 1;
  rocks.write_buffer_size = write_buffer_bytes;
  rocks.max_write_buffer_number = 2;
  rocks.max_total_wal_size = 2 * write_buffer_bytes;
  rocks.avoid_flush_during_recovery = true;  // the log is there to be replayed: no small file per restart
  rocks.avoid_flush_during_shutdown = true;

  // Doubles of this kind do not compress, and what a library can decompress would differ between machines.
  rocks.compression = rocksdb::kNoCompression;

  // A cache may lose entries, so what can be read of the log is taken, whatever happened to the rest: values carry
  // checksums of their own.
  rocks.wal_recovery_mode = rocksdb::WALRecoveryMode::kSkipAnyCorruptedRecords;

  rocksdb::BlockBasedTableOptions table;
  table.block_size = 16 << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(16));  // 1 in 2,000 files is read in vain
  table.cache_index_and_filter_blocks = true;                    // bounds the memory of any number of files
  table.block_cache =
      rocksdb::NewLRUCache(std::clamp<std::int64_t>(options.max_bytes / 32, 1 << 20, 64 << 20));
  table.format_version = 5;
  rocks.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  rocks.max_open_files = 1024;

  rocks.info_log_level = rocksdb::WARN_LEVEL;
  rocks.keep_log_file_num = 2;
  rocks.max_log_file_size = 64 << 10;
  rocks.max_manifest_file_size = 128 << 10;
  rocks.stats_dump_period_sec = 0;
  rocks.stats_persist_period_sec = 0;
  rocks.listeners.push_back(std::make_shared<EvictionListener>(options.on_evicted));
  return rocks;
}

class RocksStore final : public DiskStore {
 public:
  // `lock` outlives the database.
  RocksStore(fs::path path, std::chrono::microseconds read_timeout, FileLock lock, std::unique_ptr<rocksdb::DB> db)
      : path_(std::move(path)), read_timeout_(read_timeout), lock_(std::move(lock)), db_(std::move(db)) {
    const rocksdb::Options rocks = db_->GetOptions();
    max_table_bytes_ = rocks.compaction_options_fifo.max_table_files_size + rocks.write_buffer_size;
  }

  std::vector<Found> Read(std::span<const CacheKey> keys) override {
    std::vector<rocksdb::Slice> slices;
    for (const CacheKey& key : keys) slices.push_back(SliceOf(key));
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    rocksdb::ReadOptions options;
    options.deadline = std::chrono::microseconds(db_->GetEnv()->NowMicros()) + read_timeout_;
    db_->MultiGet(options, db_->DefaultColumnFamily(), keys.size(), slices.data(), values.data(), statuses.data());
    std::vector<Found> found(keys.size());
    for (std::size_t idx = 0; idx < keys.size(); ++idx) {
      if (statuses[idx].ok()) found[idx].bytes = values[idx].ToString();
      found[idx].is_late = statuses[idx].IsTimedOut();
      found[idx].is_faulty = !statuses[idx].ok() && !statuses[idx].IsNotFound() && !found[idx].is_late;
    }
    return found;
  }

  absl::Status Write(const StoreEntries& entries) override {
    RETURN_IF_ERROR(WaitForDeletions());
    rocksdb::WriteBatch batch;
    for (const auto& [key, bytes] : entries) batch.Put(SliceOf(key), bytes);
    rocksdb::WriteOptions options;
    options.sync = false;  // a crash of the machine may cost entries, which are then computed again
    return ToStatus(db_->Write(options, &batch));
  }

  absl::Status CheckDisk() override {
    std::error_code ignored;
    if (!fs::exists(path_, ignored)) return absl::OkStatus();
    const std::string probe = (path_ / "probe").string();
    const rocksdb::Status written =
        rocksdb::WriteStringToFile(db_->GetEnv(), std::string(kProbeBytes, '\0'), probe, /*should_sync=*/true);
    db_->GetEnv()->DeleteFile(probe).PermitUncheckedError();
    return ToStatus(written);
  }

  std::int64_t BytesOnDisk() const override {
    std::int64_t num_bytes = 0;
    std::error_code fault;  // a loop over the range would throw where a disk cannot be read
    for (fs::directory_iterator entry(path_, fault), end; !fault && entry != end; entry.increment(fault)) {
      std::error_code is_gone;  // files come and go
      const auto size = entry->file_size(is_gone);
      if (!is_gone) num_bytes += static_cast<std::int64_t>(size);
    }
    return num_bytes;
  }

 private:
  // RocksDB deletes the oldest tables in the background and takes writes meanwhile: on a machine short of processors
  // they would exceed the bound.
  absl::Status WaitForDeletions() {
    constexpr std::chrono::microseconds kInterval{1000};
    for (std::chrono::microseconds waited{0}; waited < kMaxDeletionDelay; waited += kInterval) {
      std::uint64_t num_bytes = 0;
      db_->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &num_bytes);
      if (num_bytes <= max_table_bytes_) return absl::OkStatus();
      std::this_thread::sleep_for(kInterval);
    }
    return absl::UnavailableError("the oldest tables are not being deleted");
  }

  const fs::path path_;
  const std::chrono::microseconds read_timeout_;
  std::uint64_t max_table_bytes_ = 0;
  const FileLock lock_;
  const std::unique_ptr<rocksdb::DB> db_;
};

// REQUIRES: the folder's lock is held and no database is open.
void DeleteStore(const fs::path& path) {
  std::error_code ignored;  // opening it tells
  fs::remove_all(path, ignored);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DiskStore>> DiskStore::Open(const DiskStoreOptions& options, std::string& note) {
  const fs::path folder(options.folder);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat("cannot make the folder: ", error.message()));
  // RocksDB has a lock of its own, but cannot tell a database that is in use from one that is broken.
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(folder / kLockFile));

  const fs::path path = folder / kStoreFolder;
  if (options.is_damaged) DeleteStore(path);
  const rocksdb::Options rocks = RocksOptions(options);
  rocksdb::DB* db = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(rocks, path.string(), &db);
  if (IsUnreadable(status)) {
    note = absl::StrCat("what it held cannot be read and was deleted: ", status.ToString());
    DeleteStore(path);
    status = rocksdb::DB::Open(rocks, path.string(), &db);
  }
  if (!status.ok()) return absl::UnavailableError(status.ToString());
  return std::make_unique<RocksStore>(path, options.read_timeout, std::move(lock), std::unique_ptr<rocksdb::DB>(db));
}

}  // namespace prefscore
