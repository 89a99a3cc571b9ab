// SPDX-License-Identifier: Apache-2.0
// What can happen to the files of a cache: a killed process, damage, a full disk. Never a wrong number, never a crash.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "tests/cache/cache_test_base.h"

namespace prefscore {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using CacheFaultsTest = CacheTestBase;

constexpr char kFolderVariable[] = "PREFSCORE_TEST_CACHE_FOLDER";
constexpr char kBeginVariable[] = "PREFSCORE_TEST_CACHE_BEGIN";

// Not a test but the program that WritersThatAreKilled starts and kills: writes entries for ever, and a byte to standard
// output for each 100 that were written.
TEST(CacheWriter, DISABLED_WritesUntilKilled) {
  LogProbCache cache({.folder = std::getenv(kFolderVariable), .max_bytes = 8 << 20});
  for (std::uint32_t index = std::atoi(std::getenv(kBeginVariable));; ++index) {
    cache.Store(KeyOf(index), LogpsOf(index));
    if (index % 100 != 99) continue;
    cache.Flush();
    if (write(STDOUT_FILENO, ".", 1) != 1) return;
  }
}

// Starts a writer and kills it after `num_batches` batches of 100 and `microseconds` more.
void WriteAndKill(const std::string& folder, std::uint32_t begin, int num_batches, int microseconds) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(pipe_fds[1], STDOUT_FILENO);
    setenv(kFolderVariable, folder.c_str(), 1);
    setenv(kBeginVariable, absl::StrCat(begin).c_str(), 1);
    execl("/proc/self/exe", "writer", "--gtest_filter=CacheWriter.*", "--gtest_also_run_disabled_tests",
          "--gtest_brief=1", nullptr);
    _exit(1);
  }
  close(pipe_fds[1]);
  for (char byte = 0; num_batches > 0 && read(pipe_fds[0], &byte, 1) == 1;) num_batches -= byte == '.' ? 1 : 0;
  EXPECT_EQ(num_batches, 0) << "the writer ended early";
  usleep(microseconds);  // so that death comes anywhere in a batch, a flush or a compaction
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  close(pipe_fds[0]);
}

TEST_F(CacheFaultsTest, WritersThatAreKilledLoseNothingThatWasWritten) {
  std::mt19937 random(1);
  for (std::uint32_t round = 0; round < 25; ++round) {
    const std::uint32_t begin = round * 100'000;
    const int num_batches = 1 + static_cast<int>(random() % 30);
    WriteAndKill(folder(), begin, num_batches, static_cast<int>(random() % 3000));
    Open();
    EXPECT_EQ(CountRight(begin, begin + 100 * num_batches), 100 * num_batches);
    CountRight(begin + 100 * num_batches, begin + 5000);  // what is there is right
    cache_.reset();
  }
  EXPECT_EQ(told_["open errors"] + told_["read errors"] + told_["checksum errors"], 0);
}

std::string ReadFile(const fs::path& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

class CacheDamageTest : public CacheTestBase, public ::testing::WithParamInterface<const char*> {};

// Damages a random file of the kind, in a random way, again and again.
TEST_P(CacheDamageTest, CostsEntriesAndNoMore) {
  constexpr std::uint32_t kNumEntries = 3000;
  Open();
  StoreRange(0, kNumEntries);
  cache_.reset();
  const fs::path intact = temp_.path() / "intact";
  fs::copy(store(), intact, fs::copy_options::recursive);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(intact)) {
    const std::string name = entry.path().filename().string();
    if (name.find(GetParam()) != std::string::npos && entry.file_size() > 0) files.push_back(name);
  }
  ASSERT_FALSE(files.empty());

  std::mt19937 random(2);
  std::int64_t num_found = 0;
  constexpr int kNumRounds = 40;
  for (int round = 0; round < kNumRounds; ++round) {
    fs::remove_all(store());
    fs::copy(intact, store(), fs::copy_options::recursive);
    const fs::path file = store() / files[random() % files.size()];
    std::string content = ReadFile(file);
    const std::size_t at = random() % content.size();
    const int damage = round % 4;
    SCOPED_TRACE(absl::StrCat(file.filename().string(), ", damage ", damage, " at ", at));
    if (damage == 0) content[at] ^= static_cast<char>(1 << (random() % 8));
    if (damage == 1) content.resize(at);
    if (damage == 2) content.replace(at, 64, std::string(std::min<std::size_t>(64, content.size() - at), '\xff'));
    if (damage == 3) content.append("garbage");
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
    if (round == kNumRounds - 1) fs::remove(file);

    Open();
    EXPECT_EQ(cache_->state(), CacheState::kServing);
    num_found += CountRight(0, kNumEntries);
    StoreRange(kNumEntries, kNumEntries + 1000);  // it works on
    EXPECT_EQ(CountRight(kNumEntries, kNumEntries + 1000), 1000);
    Open();
    EXPECT_EQ(CountRight(kNumEntries, kNumEntries + 1000), 1000);
    CountRight(0, kNumEntries);
    cache_.reset();
  }
  EXPECT_LT(num_found, std::int64_t{kNumEntries} * kNumRounds) << "something was damaged";
  EXPECT_EQ(told_["dropped"], 0);
}

INSTANTIATE_TEST_SUITE_P(Files, CacheDamageTest, ::testing::Values(".sst", ".log", "MANIFEST", "CURRENT"),
                         [](const auto& info) {
                           std::string name;
                           for (const char c : std::string(info.param)) name += std::isalnum(c) ? std::string(1, c) : "";
                           return name;
                         });

TEST_F(CacheFaultsTest, AStoreThatCannotBeReadIsMadeAnewAndSaysSo) {
  Open();
  StoreRange(0, 100);
  cache_.reset();
  std::ofstream(store() / "CURRENT", std::ios::trunc) << "nonsense";
  Open();
  EXPECT_THAT(told_.notes(), HasSubstr("WARNING: what it held cannot be read and was deleted"));
  EXPECT_EQ(told_["open errors"], 1);
  EXPECT_EQ(CountRight(0, 100), 0);
}

// A disk that is full as long as it is told to be, or garbles a write.
class FaultyDisk final : public rocksdb::FileSystemWrapper {
 public:
  FaultyDisk() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FaultyDisk"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSWritableFile> real;
    const rocksdb::IOStatus status = target()->NewWritableFile(path, options, &real, context);
    if (status.ok()) *file = std::make_unique<File>(std::move(real), *this);
    return status;
  }

  std::atomic<bool> is_full{false};
  std::atomic<bool> garbles_next{false};

 private:
  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSWritableFile>&& file, FaultyDisk& disk)
        : FSWritableFileOwnerWrapper(std::move(file)), disk_(disk) {}
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* context) override {
      if (disk_.is_full) return rocksdb::IOStatus::NoSpace("the disk is full");
      if (disk_.garbles_next.exchange(false)) return rocksdb::IOStatus::Corruption("the disk garbles");
      return FSWritableFileOwnerWrapper::Append(data, options, context);
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo&, rocksdb::IODebugContext* context) override {
      return Append(data, options, context);
    }

   private:
    FaultyDisk& disk_;
  };
};

TEST_F(CacheFaultsTest, AFaultyDiskCostsEntriesUntilItHasRoomAgain) {
  const auto disk = std::make_shared<FaultyDisk>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  absl::Time now = absl::UnixEpoch();
  Open({.retry_interval = absl::Seconds(10), .now = [&now] { return now; }, .env = env.get()});
  StoreRange(0, 1000);

  disk->is_full = true;
  for (std::uint32_t index = 1000; index < 1050; ++index) {
    cache_->Store(KeyOf(index), LogpsOf(index));
    cache_->Flush();
    now += absl::Seconds(1);
  }
  EXPECT_EQ(cache_->state(), CacheState::kNotWriting);
  EXPECT_THAT(told_.notes(), HasSubstr("WARNING: cannot write"));
  EXPECT_EQ(told_["written"] + told_["dropped"], 1050);
  EXPECT_GE(told_["dropped"], 49);
  EXPECT_EQ(CountRight(0, 1000), 1000) << "what was written is still read";

  disk->is_full = false;
  now += absl::Seconds(11);
  StoreRange(2000, 4000);
  EXPECT_EQ(cache_->state(), CacheState::kServing);
  EXPECT_EQ(CountRight(0, 1000), 1000);
  EXPECT_EQ(CountRight(2000, 4000), 2000);
  cache_.reset();
  Open();
  EXPECT_EQ(CountRight(0, 1000), 1000);
  EXPECT_EQ(CountRight(2000, 4000), 2000);
}

TEST_F(CacheFaultsTest, ADiskThatIsFullFromTheStartIsNoCacheUntilItHasRoom) {
  const auto disk = std::make_shared<FaultyDisk>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  absl::Time now = absl::UnixEpoch();
  disk->is_full = true;
  Open({.retry_interval = absl::Seconds(10), .now = [&now] { return now; }, .env = env.get()});
  EXPECT_EQ(cache_->state(), CacheState::kUnavailable);
  StoreRange(0, 10);
  EXPECT_EQ(CountRight(0, 10), 0);
  disk->is_full = false;
  now += absl::Seconds(11);
  StoreRange(0, 10);
  EXPECT_EQ(CountRight(0, 10), 10);
  cache_.reset();  // before its disk
}

TEST_F(CacheFaultsTest, AStoreThatIsDamagedBeyondWritingIsMadeAnew) {
  const auto disk = std::make_shared<FaultyDisk>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  Open({.env = env.get()});
  StoreRange(0, 100);
  disk->garbles_next = true;
  StoreRange(100, 101);
  EXPECT_EQ(told_["dropped"], 1);
  EXPECT_EQ(cache_->state(), CacheState::kServing);
  EXPECT_EQ(CountRight(0, 101), 0);
  StoreRange(200, 300);
  EXPECT_EQ(CountRight(200, 300), 100);
  cache_.reset();  // before its disk
}

// A disk whose reads stand still as long as it is told to.
class SlowDisk final : public rocksdb::FileSystemWrapper {
 public:
  SlowDisk() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "SlowDisk"; }

  rocksdb::IOStatus NewRandomAccessFile(const std::string& path, const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext* context) override {
    std::unique_ptr<rocksdb::FSRandomAccessFile> real;
    const rocksdb::IOStatus status = target()->NewRandomAccessFile(path, options, &real, context);
    if (status.ok()) *file = std::make_unique<File>(std::move(real), *this);
    return status;
  }

  void Stop() { SetStopped(true); }
  void Go() { SetStopped(false); }
  int num_waiting() {
    absl::MutexLock lock(&mutex_);
    return num_waiting_;
  }

 private:
  class File final : public rocksdb::FSRandomAccessFileOwnerWrapper {
   public:
    File(std::unique_ptr<rocksdb::FSRandomAccessFile>&& file, SlowDisk& disk)
        : FSRandomAccessFileOwnerWrapper(std::move(file)), disk_(disk) {}
    rocksdb::IOStatus Read(std::uint64_t offset, std::size_t size, const rocksdb::IOOptions& options,
                           rocksdb::Slice* result, char* scratch, rocksdb::IODebugContext* context) const override {
      disk_.Wait();
      return FSRandomAccessFileOwnerWrapper::Read(offset, size, options, result, scratch, context);
    }
    rocksdb::IOStatus MultiRead(rocksdb::FSReadRequest* requests, std::size_t num_requests,
                                const rocksdb::IOOptions& options, rocksdb::IODebugContext* context) override {
      disk_.Wait();
      return FSRandomAccessFileOwnerWrapper::MultiRead(requests, num_requests, options, context);
    }

   private:
    SlowDisk& disk_;
  };

  void SetStopped(bool is_stopped) {
    absl::MutexLock lock(&mutex_);
    is_stopped_ = is_stopped;
  }
  void Wait() {
    absl::MutexLock lock(&mutex_);
    ++num_waiting_;
    mutex_.Await(absl::Condition(+[](bool* is_stopped) { return !*is_stopped; }, &is_stopped_));
    --num_waiting_;
  }

  absl::Mutex mutex_;
  bool is_stopped_ = false;
  int num_waiting_ = 0;
};

TEST_F(CacheFaultsTest, ASlowDiskIsNotWaitedForAndNoFault) {
  Open();
  StoreRange(0, 3000);
  cache_.reset();
  const auto disk = std::make_shared<SlowDisk>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  Open({.read_timeout = absl::Milliseconds(20), .env = env.get()});

  disk->Stop();
  EXPECT_EQ(CountRight(0, 100), 0);
  const int num_waiting = disk->num_waiting();
  EXPECT_GE(num_waiting, 1);
  EXPECT_EQ(CountRight(100, 200), 0);
  EXPECT_EQ(disk->num_waiting(), num_waiting) << "a disk that does not answer is asked once";
  EXPECT_EQ(told_["late"], 200);
  EXPECT_EQ(told_["misses"], 0);
  EXPECT_EQ(cache_->state(), CacheState::kServing);

  disk->Go();
  const absl::Time give_up = absl::Now() + absl::Seconds(60);
  while (CountRight(0, 100) < 100) ASSERT_LT(absl::Now(), give_up) << "the disk is fast again, and not used";
  EXPECT_EQ(told_["read errors"] + told_["checksum errors"], 0);
  cache_.reset();  // before its disk
}

TEST_F(CacheFaultsTest, ADiskThatHangsDoesNotHoldUpTheEnd) {
  Open();
  StoreRange(0, 3000);
  EXPECT_TRUE(LogProbCache::Close(std::move(cache_), absl::InfiniteDuration()));
  const auto disk = std::make_shared<SlowDisk>();
  const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
  auto life = std::make_shared<int>();  // shared with the cache's observer
  const std::weak_ptr<int> observed_life = life;
  CacheObserver observer = told_.Observer();
  observer.on_state = [life = std::move(life)](auto) {};
  cache_ = std::make_unique<LogProbCache>(
      LogProbCacheOptions{.folder = folder(),
                          .max_bytes = 8 << 20,
                          .read_timeout = absl::Milliseconds(20),
                          .env = env.get()},
      std::move(observer));
  disk->Stop();
  EXPECT_EQ(CountRight(0, 100), 0);
  EXPECT_FALSE(LogProbCache::Close(std::move(cache_), absl::Milliseconds(50)));
  EXPECT_FALSE(observed_life.expired());
  disk->Go();
  const absl::Time give_up = absl::Now() + absl::Seconds(60);
  while (!observed_life.expired()) {
    ASSERT_LT(absl::Now(), give_up) << "it does not end though the disk answers";
    absl::SleepFor(absl::Milliseconds(1));
  }
  absl::SleepFor(absl::Milliseconds(50));  // its thread's last steps, before its disk goes
}

}  // namespace
}  // namespace prefscore
