// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device_batch.h"

#include <algorithm>
#include <numeric>

namespace prefscore {
namespace {

// Arrays start at multiples of 256 bytes.
constexpr std::int64_t kAlignment = 64;

class Block {
 public:
  explicit Block(std::vector<std::int32_t>& values) : values_(values) {}

  // Appends an array of value(0) ... value(count - 1) and returns its offset.
  template <typename Value>
  std::int64_t Append(std::int64_t count, Value value) {
    values_.resize((values_.size() + kAlignment - 1) / kAlignment * kAlignment);
    const auto offset = static_cast<std::int64_t>(values_.size());
    for (std::int64_t i = 0; i < count; ++i) values_.push_back(static_cast<std::int32_t>(value(i)));
    return offset;
  }
  std::int64_t Append(const std::vector<std::int64_t>& values) {
    return Append(static_cast<std::int64_t>(values.size()), [&](std::int64_t i) { return values[i]; });
  }

 private:
  std::vector<std::int32_t>& values_;
};

// The rows whose keys a segment sees, in order of their positions.
std::int64_t NumKeys(const Segment& segment) { return segment.first_position + segment.num_rows; }

std::int64_t KeyRow(const PackedBatch& batch, const Segment& segment, std::int64_t position) {
  if (position >= segment.first_position) return segment.first_row + position - segment.first_position;
  return batch.segments[segment.prompt_segment].first_row + position;
}

ChunkQueries MakeQueries(std::span<const QueryRows> queries, Block& block) {
  ChunkQueries result{.first_row = queries.front().first_row};
  std::vector<std::int64_t> firsts{0};
  for (const QueryRows& rows : queries) {
    firsts.push_back(firsts.back() + rows.num_rows);
    result.max_rows = std::max(result.max_rows, rows.num_rows);
  }
  result.num_rows = firsts.back();
  result.first_queries = block.Append(firsts);
  return result;
}

AttentionChunk MakeChunk(const PackedBatch& batch, std::size_t begin, std::size_t end,
                         const std::vector<std::int64_t>& rope_rows, Block& block) {
  AttentionChunk chunk;
  chunk.num_segments = static_cast<std::int64_t>(end - begin);
  std::vector<std::int64_t> first_keys{0}, sources;
  for (std::size_t s = begin; s < end; ++s) {
    const std::int64_t num_keys = NumKeys(batch.segments[s]);
    first_keys.push_back(first_keys.back() + num_keys);
    chunk.max_keys = std::max(chunk.max_keys, num_keys);
    for (std::int64_t position = 0; position < num_keys; ++position) {
      sources.push_back(KeyRow(batch, batch.segments[s], position));
    }
  }
  chunk.num_keys = first_keys.back();
  chunk.first_keys = block.Append(first_keys);
  chunk.key_sources = block.Append(sources);
  chunk.key_rope_rows = block.Append(chunk.num_keys, [&](std::int64_t i) { return rope_rows[sources[i]]; });
  chunk.all_queries = MakeQueries(std::span(batch.all_queries).subspan(begin, end - begin), block);
  chunk.head_queries = MakeQueries(std::span(batch.head_queries).subspan(begin, end - begin), block);
  return chunk;
}

std::vector<AttentionChunk> MakeChunks(const PackedBatch& batch, std::int64_t max_chunk_keys,
                                       const std::vector<std::int64_t>& rope_rows, Block& block) {
  std::vector<AttentionChunk> chunks;
  std::size_t begin = 0;
  std::int64_t num_keys = 0;
  for (std::size_t s = 0; s < batch.segments.size(); ++s) {
    if (s > begin && num_keys + NumKeys(batch.segments[s]) > max_chunk_keys) {
      chunks.push_back(MakeChunk(batch, begin, s, rope_rows, block));
      begin = s;
      num_keys = 0;
    }
    num_keys += NumKeys(batch.segments[s]);
  }
  chunks.push_back(MakeChunk(batch, begin, batch.segments.size(), rope_rows, block));
  return chunks;
}

// Targets sorted by row, cut where the head's rows are cut.
std::vector<HeadChunk> CutHead(const PackedBatch& batch, const std::vector<std::int64_t>& order,
                               std::int64_t max_head_rows) {
  std::vector<HeadChunk> chunks;
  const auto num_head_rows = static_cast<std::int64_t>(batch.head_rows.size());
  const auto num_targets = static_cast<std::int64_t>(order.size());
  std::int64_t target = 0;
  for (std::int64_t row = 0; row < num_head_rows; row += max_head_rows) {
    HeadChunk chunk{.first_row = row, .num_rows = std::min(max_head_rows, num_head_rows - row), .first_target = target};
    while (target < num_targets && batch.targets[order[target]].head_row < row + chunk.num_rows) ++target;
    chunk.num_targets = target - chunk.first_target;
    chunks.push_back(chunk);
  }
  return chunks;
}

}  // namespace

DeviceBatch MakeDeviceBatch(const PackedBatch& batch, std::int64_t rope_stride, const DeviceBatchLimits& limits) {
  DeviceBatch result;
  Block block(result.values);
  result.num_rows = batch.num_rows();
  result.num_head_rows = static_cast<std::int64_t>(batch.head_rows.size());
  result.num_targets = static_cast<std::int64_t>(batch.targets.size());

  std::vector<std::int64_t> rope_rows(batch.num_rows());
  for (const Segment& segment : batch.segments) {
    for (std::int64_t row = segment.first_row; row < segment.first_row + segment.num_rows; ++row) {
      rope_rows[row] = segment.rope_variant * rope_stride + batch.positions[row];
    }
  }

  result.tokens = block.Append(result.num_rows, [&](std::int64_t i) { return batch.tokens[i]; });
  result.positions = block.Append(batch.positions);
  result.rope_rows = block.Append(rope_rows);
  result.head_rows = block.Append(batch.head_rows);
  result.head_rope_rows =
      block.Append(result.num_head_rows, [&](std::int64_t i) { return rope_rows[batch.head_rows[i]]; });
  result.attention_chunks = MakeChunks(batch, limits.max_chunk_keys, rope_rows, block);

  result.target_order.resize(batch.targets.size());
  std::iota(result.target_order.begin(), result.target_order.end(), 0);
  std::stable_sort(result.target_order.begin(), result.target_order.end(), [&](std::int64_t a, std::int64_t b) {
    return batch.targets[a].head_row < batch.targets[b].head_row;
  });
  result.head_chunks = CutHead(batch, result.target_order, limits.max_head_rows);
  const auto target = [&](std::int64_t i) -> const HeadTarget& { return batch.targets[result.target_order[i]]; };
  result.target_rows =
      block.Append(result.num_targets, [&](std::int64_t i) { return target(i).head_row % limits.max_head_rows; });
  result.target_tokens = block.Append(result.num_targets, [&](std::int64_t i) { return target(i).token; });
  return result;
}

}  // namespace prefscore
