// SPDX-License-Identifier: Apache-2.0
// Keys and bytes on disk, bounded in size, the oldest leave first: RocksDB behind a few calls.
//
// Owns <folder>/prefscore-logprobs-1, which it may delete and make anew, and a lock file beside it. Peak memory: two
// write buffers and one block cache, at most 128 MiB in all (less with a small bound), whatever the size on disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/cache/cache_key.h"

namespace rocksdb {
class Env;
}

namespace prefscore {

struct DiskStoreOptions {
  std::string folder;          // made where it is missing
  std::int64_t max_bytes = 0;  // on disk, all files together; at least kMinStoreBytes
  bool is_damaged = false;     // what the folder holds is of no use: it is deleted first
  std::chrono::microseconds read_timeout = std::chrono::seconds(1);  // of one Read; a read that is under way goes on
  rocksdb::Env* env = nullptr;  // null: the real one
  // So many entries left to keep the size. Called on a thread of RocksDB.
  std::function<void(std::int64_t num_entries)> on_evicted = [](auto) {};
};

using StoreEntries = absl::flat_hash_map<CacheKey, std::string>;

inline constexpr std::int64_t kMinStoreBytes = 4 << 20;

// Reads from any thread at once; all else from one thread.
class DiskStore {
 public:
  // A store that cannot be read is deleted and made anew, which `note` then tells. Nothing is deleted but under the
  // folder's lock. FAILED_PRECONDITION: another process has it. UNAVAILABLE: the folder cannot be made or written, or
  // the disk is full.
  static absl::StatusOr<std::unique_ptr<DiskStore>> Open(const DiskStoreOptions& options, std::string& note);
  virtual ~DiskStore() = default;

  struct Found {
    std::optional<std::string> bytes;
    bool is_faulty = false;  // the disk failed, or what it holds is damaged
    bool is_late = false;    // the disk is slow: the entry was not read in time
  };
  virtual std::vector<Found> Read(std::span<const CacheKey> keys) = 0;  // [keys]

  // All or none. Survives the end of the process from here on; not that of the machine. DATA_LOSS: the store is damaged
  // beyond writing.
  virtual absl::Status Write(const StoreEntries& entries) = 0;

  // After a failed Write nothing more is written: RocksDB ends the process where a file is appended to after that failed.
  // UNAVAILABLE: the disk does not take a small file yet. OK: it does, or the folder is gone; either way the store is to be
  // opened anew.
  virtual absl::Status CheckDisk() = 0;

  virtual std::int64_t BytesOnDisk() const = 0;
};

}  // namespace prefscore
