// SPDX-License-Identifier: Apache-2.0
// What the kernels need to know of a packed batch: 32-bit indices, in one block that is copied to the device at once.
//
// Attention takes each segment as a sequence of its own, with all the keys it sees side by side: a completion's are its
// prompt's and its own. So a prompt's keys are written once for itself and once for each of its completions:
//   queries  P | C1 | C2     keys  P | P C1 | P C2
// Long prompts with many completions would make many keys: segments are attended to in chunks of bounded keys.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/models/packed_batch.h"

namespace prefscore {

// The queries of a chunk of segments. Offsets are places in DeviceBatch::values.
struct ChunkQueries {
  std::int64_t first_row = 0;  // in the matrix of such rows
  std::int64_t num_rows = 0;
  std::int64_t max_rows = 0;       // of a segment
  std::int64_t first_queries = 0;  // offset: [num_segments + 1], counted from first_row
};

// Consecutive segments that are attended to in one call.
struct AttentionChunk {
  std::int64_t num_segments = 0;
  std::int64_t num_keys = 0;
  std::int64_t max_keys = 0;        // of a segment
  std::int64_t first_keys = 0;      // offset: [num_segments + 1]
  std::int64_t key_sources = 0;     // offset: [num_keys], rows of the batch
  std::int64_t key_rope_rows = 0;   // offset: [num_keys]
  ChunkQueries all_queries;         // every row
  ChunkQueries head_queries;        // the rows that the head reads
};

// Targets whose rows are read by the head in one go.
struct HeadChunk {
  std::int64_t first_row = 0;  // of the head rows
  std::int64_t num_rows = 0;
  std::int64_t first_target = 0;
  std::int64_t num_targets = 0;
};

struct DeviceBatchLimits {
  std::int64_t max_chunk_keys = 65536;  // a segment with more is its own chunk
  std::int64_t max_head_rows = 2048;
};

struct DeviceBatch {
  std::vector<std::int32_t> values;  // the block; the offsets below point into it
  std::int64_t tokens = 0;           // [num_rows]
  std::int64_t positions = 0;        // [num_rows]
  std::int64_t rope_rows = 0;        // [num_rows]
  std::int64_t head_rows = 0;        // [num_head_rows]: rows of the batch
  std::int64_t head_rope_rows = 0;   // [num_head_rows]
  std::int64_t target_rows = 0;      // [num_targets]: counted from the first row of their head chunk
  std::int64_t target_tokens = 0;    // [num_targets]
  std::int64_t num_rows = 0;
  std::int64_t num_head_rows = 0;
  std::int64_t num_targets = 0;
  std::vector<AttentionChunk> attention_chunks;
  std::vector<HeadChunk> head_chunks;
  // Targets in the order of their head rows, in which the block has them. [num_targets]: index into
  // PackedBatch::targets.
  std::vector<std::int64_t> target_order;
};

// Row `position` of rope variant v is row v * rope_stride + position of the tables.
// REQUIRES: rope_stride >= batch.num_positions; a target; every count fits 31 bits, as it does in any memory.
DeviceBatch MakeDeviceBatch(const PackedBatch& batch, std::int64_t rope_stride, const DeviceBatchLimits& limits = {});

}  // namespace prefscore
