// SPDX-License-Identifier: Apache-2.0
#include "server/cache/disk_store.h"

#include "gtest/gtest.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

const CacheKey kKey = MakeCacheKey({"digest", "mode", "float32"}, {1}, {2});

class DiskStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<DiskStore>> Open(bool is_damaged = false) {
    return DiskStore::Open(
        {.folder = temp_.path().string(), .max_bytes = kMinStoreBytes, .is_damaged = is_damaged}, note_);
  }
  static bool Holds(DiskStore& store) { return store.Read({{kKey}})[0].bytes == "bytes"; }

  testing::TempFolder temp_;
  std::string note_;
};

TEST_F(DiskStoreTest, WhatIsDamagedIsDeletedUnderTheLockOnly) {
  auto first = Open();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE((*first)->Write({{kKey, "bytes"}}).ok());
  EXPECT_EQ(Open(/*is_damaged=*/true).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Holds(**first));
  first->reset();
  EXPECT_TRUE(Holds(**Open())) << "whoever came too late deleted nothing";
  EXPECT_FALSE(Holds(**Open(/*is_damaged=*/true)));
}

}  // namespace
}  // namespace prefscore
