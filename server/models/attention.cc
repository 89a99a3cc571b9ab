// SPDX-License-Identifier: Apache-2.0
#include "server/models/attention.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "server/models/row_ops.h"

namespace prefscore {
namespace {

using at::native::cpublas::brgemm;

constexpr std::int64_t kBlockRows = 64;
constexpr std::int64_t kQueryRows = 32;  // queries of one task

std::int64_t RoundUpTo16(std::int64_t value) { return (value + 15) / 16 * 16; }

// Some queries of one segment against the keys that they see.
//
// A row of scores has one column per key slot: the prompt's slots, then the segment's own. The slots that pad the
// prompt make a hole of columns in between that takes no part.
class QueryBlock {
 public:
  QueryBlock(const AttentionShape& shape, const PackedBatch& batch, const KeyValueBlocks& key_values, int segment)
      : shape_(shape), key_values_(key_values), segment_(segment), own_(batch.segments[segment]) {
    if (own_.prompt_segment >= 0) {
      prompt_columns_ = key_values.padded_rows(own_.prompt_segment);
      hole_ = {own_.first_position, prompt_columns_ - own_.first_position};
    }
  }

  // queries: rows query_stride apart; the first is row first_query of the segment. output: [count][head_dim].
  void Run(const float* queries, std::int64_t query_stride, std::int64_t first_query, std::int64_t count,
           std::int64_t kv_head, float* output) const {
    const std::int64_t rows = RoundUpTo16(count);
    const std::int64_t begin = FirstColumn(first_query);
    const std::int64_t end = prompt_columns_ + first_query + count;
    const std::vector<Column> blocks = Blocks(kv_head, begin, end);
    const std::int64_t origin = blocks.front().column;
    const std::int64_t stride = blocks.back().column + blocks.back().block.num_rows - origin;
    Matrix<float> scores(rows, stride);
    for (const auto& [column, block] : blocks) {
      brgemm(rows, block.num_rows, shape_.head_dim, query_stride, block.num_rows, stride, /*add_C=*/false, queries,
             block.keys, scores.row(0) + (column - origin));
    }
    float sums[kQueryRows];
    for (std::int64_t i = 0; i < count; ++i) sums[i] = Weights(first_query + i, origin, stride, scores.row(i));
    for (const auto& [column, block] : blocks) {
      brgemm(rows, shape_.head_dim, block.num_rows, stride, shape_.head_dim, shape_.head_dim,
             /*add_C=*/column != origin, scores.row(0) + (column - origin), block.values, output);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const float inverse = 1.0f / sums[i];
      for (std::int64_t d = 0; d < shape_.head_dim; ++d) output[i * shape_.head_dim + d] *= inverse;
    }
  }

 private:
  struct Column {
    std::int64_t column;
    KeyValueBlocks::Block block;
  };

  // The first column that the segment's row sees.
  std::int64_t FirstColumn(std::int64_t row) const {
    if (shape_.sliding_window == 0) return 0;
    const std::int64_t position = std::max<std::int64_t>(0, own_.first_position + row - shape_.sliding_window + 1);
    return position < own_.first_position ? position : prompt_columns_ + position - own_.first_position;
  }

  // The blocks that hold columns [begin, end), in order. Blocks start at multiples of 64 rows of their segment.
  std::vector<Column> Blocks(std::int64_t kv_head, std::int64_t begin, std::int64_t end) const {
    std::vector<Column> blocks;
    const auto add = [&](int segment, std::int64_t first_column, std::int64_t num_columns) {
      for (std::int64_t offset = 0; offset < num_columns; offset += kBlockRows) {
        const std::int64_t column = first_column + offset;
        const KeyValueBlocks::Block block = key_values_.At(segment, kv_head, offset);
        if (column + block.num_rows > begin && column < end) blocks.push_back({column, block});
      }
    };
    if (own_.prompt_segment >= 0) add(own_.prompt_segment, 0, prompt_columns_);
    add(segment_, prompt_columns_, key_values_.padded_rows(segment_));
    return blocks;
  }

  // Turns the scores of the segment's row into softmax weights without the division, 0 where the row sees nothing.
  // Returns their sum.
  float Weights(std::int64_t row, std::int64_t origin, std::int64_t num_columns, float* scores) const {
    const std::int64_t begin = FirstColumn(row) - origin;
    const std::int64_t end = prompt_columns_ + row + 1 - origin;
    const std::int64_t hole_begin = std::max<std::int64_t>(hole_.first - origin - begin, 0);
    const std::int64_t hole_end = std::max<std::int64_t>(hole_.first + hole_.count - origin - begin, hole_begin);
    std::fill(scores, scores + begin, 0.0f);
    std::fill(scores + end, scores + num_columns, 0.0f);
    return GetRowOps().exp_scores(static_cast<float>(shape_.scale), static_cast<float>(shape_.softcap), hole_begin,
                                  hole_end, scores + begin, end - begin);
  }

  const AttentionShape& shape_;
  const KeyValueBlocks& key_values_;
  const int segment_;
  const Segment& own_;
  std::int64_t prompt_columns_ = 0;
  RowRange hole_;
};

}  // namespace

KeyValueBlocks::KeyValueBlocks(const AttentionShape& shape, const PackedBatch& batch, const ThreadPool& pool,
                               const PrepareHeads& prepare_keys, Matrix<float>& key_values)
    : shape_(shape), first_slot_{0} {
  struct Task {
    const Segment* segment;
    std::int64_t first_slot;
    std::int64_t offset;
  };
  std::vector<Task> tasks;
  for (const Segment& segment : batch.segments) {
    for (std::int64_t offset = 0; offset < segment.num_rows; offset += kBlockRows) {
      tasks.push_back({&segment, first_slot_.back(), offset});
    }
    first_slot_.push_back(first_slot_.back() + RoundUpTo16(segment.num_rows));
  }
  keys_ = Matrix<float>(shape.num_kv_heads, first_slot_.back() * shape.head_dim);
  values_ = Matrix<float>(shape.num_kv_heads, first_slot_.back() * shape.head_dim);
  pool.ParallelFor(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const auto& [segment, first_slot, offset] = tasks[i];
    const std::int64_t end = std::min(segment->num_rows, offset + kBlockRows);
    for (std::int64_t row = offset; row < end; ++row) {
      prepare_keys(*segment, segment->first_position + row, key_values.row(segment->first_row + row));
    }
    Fill(*segment, first_slot, offset, key_values);
  });
}

void KeyValueBlocks::Fill(const Segment& segment, std::int64_t first_slot, std::int64_t offset,
                          const Matrix<float>& key_values) {
  const std::int64_t dim = shape_.head_dim;
  const std::int64_t num_slots = std::min(kBlockRows, RoundUpTo16(segment.num_rows) - offset);
  const std::int64_t num_rows = std::min(num_slots, segment.num_rows - offset);
  const std::int64_t first_row = segment.first_row + offset;
  for (std::int64_t head = 0; head < shape_.num_kv_heads; ++head) {
    float* keys = keys_.row(head) + (first_slot + offset) * dim;
    float* values = values_.row(head) + (first_slot + offset) * dim;
    const std::int64_t value_column = (shape_.num_kv_heads + head) * dim;
    for (std::int64_t i = 0; i < num_rows; ++i) {
      const float* row = key_values.row(first_row + i);
      for (std::int64_t d = 0; d < dim; ++d) keys[d * num_slots + i] = row[head * dim + d];
      std::copy_n(row + value_column, dim, values + i * dim);
    }
    for (std::int64_t d = 0; d < dim; ++d) std::fill(keys + d * num_slots + num_rows, keys + (d + 1) * num_slots, 0.0f);
    std::fill(values + num_rows * dim, values + num_slots * dim, 0.0f);
  }
}

KeyValueBlocks::Block KeyValueBlocks::At(int segment, std::int64_t kv_head, std::int64_t offset) const {
  const std::int64_t slot = first_slot_[segment] + offset;
  return {std::min(kBlockRows, padded_rows(segment) - offset), keys_.row(kv_head) + slot * shape_.head_dim,
          values_.row(kv_head) + slot * shape_.head_dim};
}

void Attend(const AttentionShape& shape, const PackedBatch& batch, std::span<const QueryRows> query_rows,
            const PrepareHeads& prepare_queries, const KeyValueBlocks& key_values, const ThreadPool& pool,
            Matrix<float>& queries, GemmInput& output) {
  struct Task {
    int segment;
    std::int64_t first;      // of the segment's rows
    std::int64_t count;
    std::int64_t query_row;  // row of `queries`
  };
  std::vector<Task> tasks;
  for (int segment = 0; segment < static_cast<int>(query_rows.size()); ++segment) {
    const QueryRows& rows = query_rows[segment];
    const std::int64_t skipped = batch.segments[segment].num_rows - rows.num_rows;
    for (std::int64_t first = 0; first < rows.num_rows; first += kQueryRows) {
      tasks.push_back({segment, skipped + first, std::min(kQueryRows, rows.num_rows - first), rows.first_row + first});
    }
  }
  const auto num_tasks = static_cast<std::int64_t>(tasks.size());
  pool.ParallelFor(num_tasks, [&](std::int64_t i) {
    const Segment& segment = batch.segments[tasks[i].segment];
    for (std::int64_t row = 0; row < tasks[i].count; ++row) {
      prepare_queries(segment, segment.first_position + tasks[i].first + row, queries.row(tasks[i].query_row + row));
    }
  });
  const std::int64_t heads_per_kv_head = shape.num_heads / shape.num_kv_heads;
  pool.ParallelFor(num_tasks * shape.num_heads, [&](std::int64_t i) {
    const Task& task = tasks[i / shape.num_heads];
    const std::int64_t head = i % shape.num_heads;
    Matrix<float> attended(kQueryRows, shape.head_dim);
    QueryBlock(shape, batch, key_values, task.segment)
        .Run(queries.row(task.query_row) + head * shape.head_dim, queries.stride(), task.first, task.count,
             head / heads_per_kv_head, attended.row(0));
    for (std::int64_t row = 0; row < task.count; ++row) {
      output.Store(task.query_row + row, head * shape.head_dim, attended.row(row), shape.head_dim);
    }
  });
}

bool AttentionRowsAreIndependent(const AttentionShape& shape) {
  // The two products of QueryBlock::Run, whose heights are multiples of 16: the same rows as the first and the last 16.
  const std::int64_t stride = shape.num_heads * shape.head_dim;
  for (std::int64_t num_keys = 16; num_keys <= kBlockRows; num_keys += 16) {
    for (const auto& [depth, width, row_stride] :
         {std::array{shape.head_dim, num_keys, stride}, std::array{num_keys, shape.head_dim, num_keys}}) {
      const auto fill = [](Matrix<float>& matrix) {
        std::minstd_rand random(1);
        const std::int64_t size = matrix.num_rows() * matrix.stride();
        for (std::int64_t i = 0; i < size; ++i) matrix.row(0)[i] = static_cast<float>(random()) * 0x1p-30f - 1.0f;
      };
      Matrix<float> left(kQueryRows, row_stride), right(depth, width), together(kQueryRows, width), half(16, width);
      fill(left);
      fill(right);
      brgemm(kQueryRows, width, depth, row_stride, width, width, false, left.row(0), right.row(0), together.row(0));
      for (std::int64_t first = 0; first < kQueryRows; first += 16) {
        brgemm(16, width, depth, row_stride, width, width, false, left.row(first), right.row(0), half.row(0));
        if (std::memcmp(half.row(0), together.row(first), 16 * width * sizeof(float)) != 0) return false;
      }
    }
  }
  return true;
}

}  // namespace prefscore
