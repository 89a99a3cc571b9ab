// SPDX-License-Identifier: Apache-2.0
#include "server/models/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "tests/testing/safetensors_writer.h"

namespace prefscore {
namespace {

using testing::FloatBytes;
using ::testing::HasSubstr;
using testing::SafetensorsFile;
using testing::WriteFile;

class CheckpointTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) { WriteFile(folder_.path() / name, text); }

  void WriteIndex(const std::string& weight_map) {
    Write("model.safetensors.index.json", "{\"metadata\":{\"total_size\":8},\"weight_map\":" + weight_map + "}");
  }

  void ExpectFault(absl::StatusCode code, const std::string& part) {
    const auto checkpoint = Checkpoint::Open(folder_.path());
    ASSERT_FALSE(checkpoint.ok()) << "accepted; expected: " << part;
    EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status();
    EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(part));
  }

  testing::TemporaryFolder folder_;
  const std::string a_ = SafetensorsFile({{"a", {1}, FloatBytes({1})}});
  const std::string b_ = SafetensorsFile({{"b", {1}, FloatBytes({2})}});
};

TEST_F(CheckpointTest, ReadsASingleFile) {
  Write("model.safetensors", a_);
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  ASSERT_EQ((*checkpoint)->tensors().size(), 1u);
  EXPECT_EQ((*checkpoint)->tensors().at("a").bytes.size(), 4u);
}

TEST_F(CheckpointTest, ReadsShards) {
  Write("model-00001-of-00002.safetensors", a_);
  Write("model-00002-of-00002.safetensors", b_);
  WriteIndex(R"({"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"})");
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->tensors().size(), 2u);
}

TEST_F(CheckpointTest, MissingFolderOrFiles) {
  EXPECT_EQ(Checkpoint::Open(folder_.path() / "nowhere").status().code(), absl::StatusCode::kNotFound);
  ExpectFault(absl::StatusCode::kNotFound, "neither model.safetensors nor model.safetensors.index.json");
  Write("pytorch_model.bin", "x");
  ExpectFault(absl::StatusCode::kNotFound, "safe_serialization=True");
  WriteIndex(R"({"a":"shard.safetensors"})");
  ExpectFault(absl::StatusCode::kNotFound, "shard.safetensors");
}

TEST_F(CheckpointTest, BadIndex) {
  Write("s1", a_);
  Write("s2", b_);
  Write("model.safetensors.index.json", "not JSON");
  ExpectFault(absl::StatusCode::kInvalidArgument, "not valid JSON");
  Write("model.safetensors.index.json", "[]");
  ExpectFault(absl::StatusCode::kInvalidArgument, "not a JSON object");
  Write("model.safetensors.index.json", "{}");
  ExpectFault(absl::StatusCode::kInvalidArgument, "weight_map is missing");
  WriteIndex("{}");
  ExpectFault(absl::StatusCode::kInvalidArgument, "weight_map is missing or empty");
  WriteIndex(R"({"a":"s1","a":"s2"})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "the key 'a' twice");
  for (const std::string file : {"7", "\"\"", "\"..\"", "\"../s1\"", "\"/etc/passwd\"", "\"s1\\u0000\""}) {
    WriteIndex("{\"a\":" + file + "}");
    ExpectFault(absl::StatusCode::kInvalidArgument, "no file name in this folder");
  }
}

TEST_F(CheckpointTest, IndexAndShardsContradictEachOther) {
  Write("s1", a_);
  Write("s2", b_);
  WriteIndex(R"({"a":"s1","b":"s1"})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "places tensor 'b' in s1, which does not hold it");
  WriteIndex(R"({"a":"s1","c":"s2"})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "holds tensor 'b', which model.safetensors.index.json does not list");
  Write("s2", a_);
  WriteIndex(R"({"a":"s1","b":"s2"})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "holds tensor 'a', which model.safetensors.index.json places in s1");
}

TEST_F(CheckpointTest, AShardThatIsNoFile) {
  std::filesystem::create_directory(folder_.path() / "s1");
  WriteIndex(R"({"a":"s1"})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "not a regular file");
}

// What was read of a file that changed meanwhile may be of either version.
TEST_F(CheckpointTest, TellsThatAFileChangedSinceItWasOpened) {
  Write("model.safetensors", a_);
  const std::filesystem::path path = folder_.path() / "model.safetensors";
  const auto open = [&] { return *Checkpoint::Open(folder_.path()); };
  EXPECT_TRUE(open()->CheckUnchanged().ok());
  const std::function<void()> changes[] = {
      [&] { std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) + std::chrono::seconds(1)); },
      [&] { std::filesystem::resize_file(path, a_.size() - 1); },
      [&] {  // as much, of the same age, but another file
        const auto time = std::filesystem::last_write_time(path);
        Write("other", a_);
        std::filesystem::last_write_time(folder_.path() / "other", time);
        std::filesystem::rename(folder_.path() / "other", path);
      },
      [&] { std::filesystem::remove(path); },
  };
  for (const auto& change : changes) {
    Write("model.safetensors", a_);
    const auto checkpoint = open();
    change();
    const absl::Status status = checkpoint->CheckUnchanged();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("model.safetensors was changed while it was being read"));
  }
}

}  // namespace
}  // namespace prefscore
