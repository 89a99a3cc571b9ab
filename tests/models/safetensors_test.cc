// SPDX-License-Identifier: Apache-2.0
#include "server/models/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/testing/safetensors_writer.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using testing::FloatBytes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SafetensorsFile;

absl::StatusOr<std::vector<SafetensorsEntry>> Parse(const std::string& file) {
  return ParseSafetensors(std::as_bytes(std::span(file)), "model.safetensors");
}

void ExpectFault(const std::string& file, absl::StatusCode code, const std::string& part) {
  const auto entries = Parse(file);
  ASSERT_FALSE(entries.ok()) << "accepted; expected: " << part;
  EXPECT_EQ(entries.status().code(), code) << entries.status();
  EXPECT_THAT(std::string(entries.status().message()), HasSubstr(part));
  EXPECT_THAT(std::string(entries.status().message()), HasSubstr("model.safetensors"));
}

void ExpectMalformed(const std::string& header, std::size_t data_bytes, const std::string& part) {
  ExpectFault(SafetensorsFile(header, std::string(data_bytes, 'x')), absl::StatusCode::kInvalidArgument, part);
}

TEST(SafetensorsTest, GivesTensorsInTheOrderOfTheirBytes) {
  const std::string file = SafetensorsFile({{"z", {2, 3}, FloatBytes({1, 2, 3, 4, 5, 6})},
                                            {"empty", {0, 7}, ""},
                                            {"scalar", {}, std::string(2, '\1'), "BF16"},
                                            {"a", {5}, "abcde", "U8"}});
  const auto entries = Parse(file);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 4u);
  EXPECT_EQ((*entries)[0].name, "z");
  EXPECT_EQ((*entries)[0].dtype, "F32");
  EXPECT_THAT((*entries)[0].shape, ElementsAre(2, 3));
  EXPECT_EQ((*entries)[0].bytes.size(), 24u);
  EXPECT_EQ(NumElements((*entries)[0]), 6);
  EXPECT_EQ((*entries)[1].name, "empty");
  EXPECT_EQ(NumElements((*entries)[1]), 0);
  EXPECT_EQ((*entries)[2].name, "scalar");
  EXPECT_THAT((*entries)[2].shape, IsEmpty());
  EXPECT_EQ(NumElements((*entries)[2]), 1);
  EXPECT_EQ((*entries)[3].name, "a");
  EXPECT_EQ(std::to_integer<char>((*entries)[3].bytes[0]), 'a');
}

TEST(SafetensorsTest, AllowsAHeaderPaddedWithSpaces) {
  EXPECT_TRUE(Parse(SafetensorsFile(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}    )", "x")).ok());
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  const std::string file = SafetensorsFile({{"a", {2}, FloatBytes({1, 2})}, {"b", {1}, FloatBytes({3})}});
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Parse(file.substr(0, size)).ok()) << size << " of " << file.size() << " bytes were accepted";
  }
}

TEST(SafetensorsTest, RefusesALyingHeaderLength) {
  std::string file = SafetensorsFile({{"a", {1}, FloatBytes({1})}});
  file[4] = 1;  // 2^32 more
  ExpectFault(file, absl::StatusCode::kInvalidArgument, "header length 4294967");
  file.replace(0, 8, 8, '\xff');
  ExpectFault(file, absl::StatusCode::kInvalidArgument,
              "header length 18446744073709551615 is over the limit 100000000");
  file = SafetensorsFile({{"a", {1}, FloatBytes({1})}});
  file[2] = 1;  // 65,536 more than the file has
  ExpectFault(file, absl::StatusCode::kInvalidArgument, "truncated: header length 65");
  file = SafetensorsFile({{"a", {1}, FloatBytes({1})}});
  --file[0];  // cuts the JSON
  ExpectFault(file, absl::StatusCode::kInvalidArgument, "not valid JSON");
}

TEST(SafetensorsTest, RefusesABadHeader) {
  ExpectMalformed("", 0, "does not start with '{'");
  ExpectMalformed(" {}", 0, "does not start with '{'");
  ExpectMalformed("{]", 0, "not valid JSON");
  ExpectMalformed("{\"\xff\xfe\":1}", 0, "not valid JSON");
  ExpectMalformed(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2,
      "the key 'a' twice");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1, "the key 'shape' twice");
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100'000; ++i) deep += '[';
  ExpectMalformed(deep, 0, "the header: nests lists and objects 100001 deep; the limit is 64");
}

TEST(SafetensorsTest, RefusesABadEntry) {
  ExpectMalformed(R"({"a":7})", 0, "tensor 'a' is not described by an object");
  ExpectMalformed(R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "tensor 'a' has no dtype");
  ExpectMalformed(R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "tensor 'a' has no shape");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1]}})", 1, "tensor 'a' has no data_offsets");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "no data_offsets pair");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"offsets":[0,1]}})", 1,
                  "unknown field 'offsets'");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "dimension -1");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1, "dimension 1.0");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}})", 1, "data_offsets [-1,0]");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "data_offsets [1,0]");
  ExpectMalformed(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "has 4 bytes, but its dtype F32");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
                  "rank 17");
  ExpectFault(SafetensorsFile(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", "x"),
              absl::StatusCode::kUnimplemented, "tensor 'a' has dtype 'F4'");
}

TEST(SafetensorsTest, RefusesAShapeWhoseSizeOverflows) {
  // 2^32 * 2^32 * 4 bytes is 0 in 64 bits: the size that the offsets claim.
  ExpectMalformed(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "overflows");
  ExpectMalformed(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,0]}})", 0, "dimension");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,18446744073709551616]}})", 1,
                  "data_offsets");
}

TEST(SafetensorsTest, RefusesBytesThatNoTensorOrTwoTensorsOwn) {
  const std::string two = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],)";
  ExpectMalformed(two + R"("data_offsets":[1,3]}})", 3,
                  "tensor 'b' starts at byte 1 of the data where 2 is next: the tensors overlap");
  ExpectMalformed(two + R"("data_offsets":[3,5]}})", 5, "the tensors leave a hole");
  ExpectMalformed(two + R"("data_offsets":[2,4]}})", 5, "1 bytes after the last tensor");
  ExpectMalformed(two + R"("data_offsets":[2,4]}})", 3, "truncated: tensor 'b' ends at byte 4");
  ExpectMalformed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, "leave a hole");
  ExpectMalformed("{}", 1, "1 bytes after the last tensor");
}

TEST(SafetensorsTest, WhatItAcceptsLiesInsideTheFileWhateverTheFileHolds) {
  const std::string good = SafetensorsFile(
      {{"a", {2, 3}, FloatBytes({1, 2, 3, 4, 5, 6})}, {"b", {0}, "", "I64"}, {"c", {4}, "\1\2\3\4", "U8"}});
  std::mt19937 random(1);
  const std::string alphabet = "0123456789{}[]\",:-.e\\ \0\xff";
  int num_accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string file = good;
    for (unsigned edits = 1 + random() % 3; edits > 0; --edits) {
      file[random() % file.size()] = alphabet[random() % alphabet.size()];
    }
    if (random() % 4 == 0) file.resize(random() % (file.size() + 1));
    const auto entries = Parse(file);
    if (!entries.ok()) continue;
    ++num_accepted;
    std::size_t covered = 0;
    for (const SafetensorsEntry& entry : *entries) {
      EXPECT_GE(static_cast<const void*>(entry.bytes.data()), static_cast<const void*>(file.data() + 8));
      EXPECT_LE(static_cast<const void*>(entry.bytes.data() + entry.bytes.size()),
                static_cast<const void*>(file.data() + file.size()));
      covered += entry.bytes.size();
    }
    EXPECT_EQ(covered, 28u);
  }
  EXPECT_GT(num_accepted, 100);  // edits of names and data are harmless
}

}  // namespace
}  // namespace prefscore
