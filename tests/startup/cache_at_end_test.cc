// SPDX-License-Identifier: Apache-2.0
// How a process ends whose cache has a disk that hangs. Each in a process of its own.
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "server/startup/open_cache.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::ExitedWithCode;

// A disk that never ends a write, once it is told to hang.
class HangingDisk final : public rocksdb::FileSystemWrapper {
 public:
  HangingDisk() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "HangingDisk"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSWritableFile> real;
    const rocksdb::IOStatus status = target()->NewWritableFile(path, options, &real, context);
    if (status.ok()) *file = std::make_unique<File>(std::move(real), hangs);
    return status;
  }

  std::atomic<bool> hangs{false};

 private:
  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile>&& file, const std::atomic<bool>& hangs)
        : FSWritableFileOwnerWrapper(std::move(file)), hangs_(hangs) {}
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* context) override {
      if (hangs_) absl::Notification().WaitForNotification();
      return FSWritableFileOwnerWrapper::Append(data, options, context);
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo&, rocksdb::IODebugContext* context) override {
      return Append(data, options, context);
    }

   private:
    const std::atomic<bool>& hangs_;
  };
};

// Stores log-probs, lets a server's end come, and exits with 7 where that has not ended the process.
void EndServer(const testing::TempFolder& temp, bool disk_hangs, ExitCode code) {
  const auto disk = std::make_shared<HangingDisk>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  {
    auto cache = std::make_unique<LogProbCache>(
        LogProbCacheOptions{.folder = (temp.path() / "cache").string(), .max_bytes = 8 << 20, .env = env.get()},
        CacheObserver());
    disk->hangs = disk_hangs;
    cache->Store(MakeCacheKey({"digest", "mode", "float32"}, {1}, {7}), {.token_logps = {-1.5}});
    CacheAtEnd at_end(std::move(cache), disk_hangs ? absl::Milliseconds(50) : absl::Seconds(60));
    at_end.EndIfItHangsWith(code);
  }
  std::_Exit(7);
}

TEST(CacheAtEndDeathTest, ADiskThatHangsEndsTheProcessWithTheCodeThatIsSet) {
  const testing::TempFolder temp, other;
  EXPECT_EXIT(EndServer(temp, true, kCacheLost), ExitedWithCode(4), "the cache's disk did not answer within 50ms");
  EXPECT_EXIT(EndServer(other, true, kCutOff), ExitedWithCode(3), "did not answer");
}

TEST(CacheAtEndDeathTest, ADiskThatAnswersDoesNot) {
  const testing::TempFolder temp;
  EXPECT_EXIT(EndServer(temp, false, kCacheLost), ExitedWithCode(7), "^$");
}

TEST(CacheAtEndDeathTest, WithoutACacheThereIsNothingToWaitFor) { const CacheAtEnd none(nullptr); }

}  // namespace
}  // namespace prefscore
