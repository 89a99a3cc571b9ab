// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/testing/random_groups.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;

std::vector<std::int32_t> At(const DeviceBatch& batch, std::int64_t offset, std::int64_t count) {
  return {batch.values.begin() + offset, batch.values.begin() + offset + count};
}

PackedBatch Pack(const std::vector<PromptGroup>& groups, std::span<const RopeConfig> ropes = {}) {
  return PackGroups(testing::Pointers(groups), ropes);
}

// P = 3 rows, C1 = 2 rows of 3 tokens, C2 = no row of 1 token, C3 = 1 row.
const std::vector<PromptGroup> kGroup = {{{10, 11, 12}, {{20, 21, 22}, {30}, {40, 41}}}};

TEST(DeviceBatchTest, CompletionsSeeThePromptsKeysAndTheirOwn) {
  const DeviceBatch batch = MakeDeviceBatch(Pack(kGroup), 100);
  EXPECT_THAT(At(batch, batch.tokens, 6), ElementsAre(10, 11, 12, 20, 21, 40));
  EXPECT_THAT(At(batch, batch.positions, 6), ElementsAre(0, 1, 2, 3, 4, 3));
  ASSERT_EQ(batch.attention_chunks.size(), 1u);
  const AttentionChunk& chunk = batch.attention_chunks[0];
  EXPECT_EQ(chunk.num_segments, 3);
  EXPECT_EQ(chunk.max_keys, 5);
  EXPECT_THAT(At(batch, chunk.first_keys, 4), ElementsAre(0, 3, 8, 12));
  EXPECT_THAT(At(batch, chunk.key_sources, 12), ElementsAre(0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 5));
  EXPECT_THAT(At(batch, chunk.key_rope_rows, 12), ElementsAre(0, 1, 2, 0, 1, 2, 3, 4, 0, 1, 2, 3));
  EXPECT_THAT(At(batch, chunk.all_queries.first_queries, 4), ElementsAre(0, 3, 5, 6));
  EXPECT_EQ(chunk.all_queries.max_rows, 3);
}

TEST(DeviceBatchTest, TheHeadReadsThePromptsLastRowAndTheCompletions) {
  const DeviceBatch batch = MakeDeviceBatch(Pack(kGroup), 100);
  EXPECT_EQ(batch.num_head_rows, 4);
  EXPECT_THAT(At(batch, batch.head_rows, 4), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(At(batch, batch.head_rope_rows, 4), ElementsAre(2, 3, 4, 3));
  const AttentionChunk& chunk = batch.attention_chunks[0];
  EXPECT_THAT(At(batch, chunk.head_queries.first_queries, 4), ElementsAre(0, 1, 3, 4));
  EXPECT_EQ(chunk.head_queries.num_rows, 4);
}

// In the order of rows: the prompt's last row predicts the first token of each completion.
TEST(DeviceBatchTest, TargetsAreSortedByRowAndFindTheirWayBack) {
  const PackedBatch packed = Pack(kGroup);
  const DeviceBatch batch = MakeDeviceBatch(packed, 100);
  EXPECT_THAT(At(batch, batch.target_rows, 6), ElementsAre(0, 0, 0, 1, 2, 3));
  EXPECT_THAT(At(batch, batch.target_tokens, 6), ElementsAre(20, 30, 40, 21, 22, 41));
  EXPECT_THAT(batch.target_order, ElementsAre(0, 3, 4, 1, 2, 5));
}

TEST(DeviceBatchTest, RowsAreCountedFromTheirChunk) {
  const DeviceBatch batch = MakeDeviceBatch(Pack(kGroup), 100, {.max_chunk_keys = 8, .max_head_rows = 3});
  ASSERT_EQ(batch.attention_chunks.size(), 2u);  // 3 + 5 keys, then 4
  const AttentionChunk& second = batch.attention_chunks[1];
  EXPECT_EQ(second.all_queries.first_row, 5);
  EXPECT_EQ(second.head_queries.first_row, 3);
  EXPECT_THAT(At(batch, second.all_queries.first_queries, 2), ElementsAre(0, 1));
  EXPECT_THAT(At(batch, second.first_keys, 2), ElementsAre(0, 4));
  EXPECT_THAT(At(batch, second.key_sources, 4), ElementsAre(0, 1, 2, 5));
  ASSERT_EQ(batch.head_chunks.size(), 2u);
  EXPECT_EQ(batch.head_chunks[0].num_targets, 5);
  EXPECT_EQ(batch.head_chunks[1].first_row, 3);
  EXPECT_EQ(batch.head_chunks[1].num_rows, 1);
  EXPECT_EQ(batch.head_chunks[1].first_target, 5);
  EXPECT_EQ(batch.head_chunks[1].num_targets, 1);
  EXPECT_THAT(At(batch, batch.target_rows, 6), ElementsAre(0, 0, 0, 1, 2, 0));
}

TEST(DeviceBatchTest, ASegmentWithMoreKeysThanAChunkIsItsOwn) {
  const DeviceBatch batch = MakeDeviceBatch(Pack(kGroup), 100, {.max_chunk_keys = 1, .max_head_rows = 1});
  EXPECT_EQ(batch.attention_chunks.size(), 3u);
  EXPECT_EQ(batch.head_chunks.size(), 4u);
}

TEST(DeviceBatchTest, VariantsHaveTheirOwnRowsOfTheTables) {
  RopeConfig rope;
  rope.kind = RopeConfig::Kind::kDynamic;
  rope.rotary_dim = 4;
  rope.original_max_positions = 5;
  const std::vector<PromptGroup> groups = {{{1, 2, 3}, {{4, 5}, {6, 7, 8, 9}}}};
  const PackedBatch packed = Pack(groups, std::span(&rope, 1));
  ASSERT_EQ(packed.rope_lengths.size(), 2u);
  const DeviceBatch batch = MakeDeviceBatch(packed, 100);
  EXPECT_THAT(At(batch, batch.rope_rows, 10), ElementsAre(0, 1, 2, 3, 100, 101, 102, 103, 104, 105));
}

// Every array starts where 256-byte accesses may.
TEST(DeviceBatchTest, ArraysAreAligned) {
  const DeviceBatch batch = MakeDeviceBatch(Pack(kGroup), 100);
  for (const std::int64_t offset : {batch.tokens, batch.positions, batch.rope_rows, batch.head_rows,
                                    batch.target_rows, batch.attention_chunks[0].first_keys}) {
    EXPECT_EQ(offset % 64, 0);
  }
}

}  // namespace
}  // namespace prefscore
