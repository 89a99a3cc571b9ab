// SPDX-License-Identifier: Apache-2.0
// Causal attention over a packed batch: a prompt's rows see the prompt, a completion's rows see its prompt and itself.
// fp32 in either precision. The order of every sum depends on the lengths of prompt and completion alone.
//
// What a row does not see has weight 0 in it, and a value that is not finite makes NaN of that: a NaN of one of a
// segment's rows may reach earlier rows of the same segment, never those of another completion.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "server/models/matrix.h"
#include "server/models/packed_batch.h"
#include "server/models/packed_linear.h"
#include "server/models/thread_pool.h"

namespace prefscore {

struct AttentionShape {
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;  // divides num_heads
  std::int64_t head_dim = 0;
  double scale = 1.0;
  double softcap = 0.0;
  std::int64_t sliding_window = 0;  // 0: none
};

// Normalises and rotates the query or key heads of one row in place. [heads][head_dim]
using PrepareHeads = std::function<void(const Segment& segment, std::int64_t position, float* heads)>;

// The keys and values of a batch, laid out for the kernels: per segment and key/value head in blocks of up to 64 rows,
// keys transposed. A segment is padded with zero rows to a multiple of 16.
class KeyValueBlocks {
 public:
  // key_values: [num_rows][2 * num_kv_heads * head_dim], all key heads before all value heads.
  KeyValueBlocks(const AttentionShape& shape, const PackedBatch& batch, const ThreadPool& pool,
                 const PrepareHeads& prepare_keys, Matrix<float>& key_values);

  struct Block {
    std::int64_t num_rows;  // a multiple of 16, up to 64
    const float* keys;      // [head_dim][num_rows]
    const float* values;    // [num_rows][head_dim]
  };
  std::int64_t padded_rows(int segment) const { return first_slot_[segment + 1] - first_slot_[segment]; }
  // The block that starts `offset` rows into the segment.
  Block At(int segment, std::int64_t kv_head, std::int64_t offset) const;

 private:
  void Fill(const Segment& segment, std::int64_t first_slot, std::int64_t offset, const Matrix<float>& key_values);

  AttentionShape shape_;
  std::vector<std::int64_t> first_slot_;  // of each segment, then the total
  Matrix<float> keys_;                    // [num_kv_heads][slots * head_dim]
  Matrix<float> values_;
};

// Rows that a matrix of queries must have beyond its last: the kernels read whole blocks.
inline constexpr std::int64_t kQuerySlack = 16;

// queries: [number of queries + kQuerySlack][num_heads * head_dim], where rows lie as `query_rows` (one entry per
// segment) says; prepared here, so that they change. output: the same rows without the slack.
void Attend(const AttentionShape& shape, const PackedBatch& batch, std::span<const QueryRows> query_rows,
            const PrepareHeads& prepare_queries, const KeyValueBlocks& key_values, const ThreadPool& pool,
            Matrix<float>& queries, GemmInput& output);

// Whether a query's scores and output have the same bits whatever other queries its task holds, on this machine.
bool AttentionRowsAreIndependent(const AttentionShape& shape);

}  // namespace prefscore
