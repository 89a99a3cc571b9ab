// SPDX-License-Identifier: Apache-2.0
#include "server/util/file_stamp.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

class FileStampTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

  testing::TempFolder folder_;
  const std::string path_ = folder_.path() / "file";
};

TEST_F(FileStampTest, SaysThatAFileWasWrittenReplacedOrRemoved) {
  const FileStamp absent = StampOf(path_);
  Write(path_, "a");
  const FileStamp first = StampOf(path_);
  EXPECT_NE(first, absent);
  EXPECT_EQ(StampOf(path_), first);
  Write(path_, "ab");
  const FileStamp second = StampOf(path_);
  EXPECT_NE(second, first);
  Write(path_ + ".next", "cd");
  std::filesystem::rename(path_ + ".next", path_);
  EXPECT_NE(StampOf(path_), second);
  std::filesystem::remove(path_);
  EXPECT_EQ(StampOf(path_), absent);
}

TEST_F(FileStampTest, FollowsLinks) {
  Write(path_ + ".1", "a");
  Write(path_ + ".2", "b");
  std::filesystem::create_symlink(path_ + ".1", path_);
  const FileStamp first = StampOf(path_);
  std::filesystem::create_symlink(path_ + ".2", path_ + ".link");
  std::filesystem::rename(path_ + ".link", path_);
  EXPECT_NE(StampOf(path_), first);
  EXPECT_EQ(StampOf(path_), StampOf(path_ + ".2"));
}

TEST_F(FileStampTest, SeesAWriteWhoseTimeIsSetBack) {
  Write(path_, "a");
  const auto time = std::filesystem::last_write_time(path_);
  FileStamp first = StampOf(path_);
  first.changed_ns -= 1;  // as if an hour ago: the clock of a file system is coarse
  Write(path_, "b");
  std::filesystem::last_write_time(path_, time);
  EXPECT_EQ(StampOf(path_).modified_ns, first.modified_ns);
  EXPECT_NE(StampOf(path_), first);
}

}  // namespace
}  // namespace prefscore
