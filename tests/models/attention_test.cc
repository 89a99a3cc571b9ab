// SPDX-License-Identifier: Apache-2.0
#include "server/models/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace prefscore {
namespace {

void Fill(Matrix<float>& matrix, std::mt19937& random) {
  for (std::int64_t row = 0; row < matrix.num_rows(); ++row) {
    for (std::int64_t i = 0; i < matrix.num_columns(); ++i) {
      matrix.row(row)[i] = 4.0f * (static_cast<float>(random()) * 0x1p-31f - 1.0f);
    }
  }
}

// Rows that a row sees, in order of position.
std::vector<std::int64_t> VisibleRows(const PackedBatch& batch, const Segment& segment, std::int64_t row,
                                      std::int64_t window) {
  std::vector<std::int64_t> rows;
  if (segment.prompt_segment >= 0) {
    const Segment& prompt = batch.segments[segment.prompt_segment];
    for (std::int64_t i = 0; i < prompt.num_rows; ++i) rows.push_back(prompt.first_row + i);
  }
  for (std::int64_t i = 0; i <= row; ++i) rows.push_back(segment.first_row + i);
  if (window > 0 && static_cast<std::int64_t>(rows.size()) > window) rows.erase(rows.begin(), rows.end() - window);
  return rows;
}

// The output, read back through a product with the identity.
Matrix<float> ToMatrix(const GemmInput& input, std::int64_t width, const ThreadPool& pool) {
  std::vector<float> identity(width * width, 0.0f);
  for (std::int64_t i = 0; i < width; ++i) identity[i * width + i] = 1.0f;
  LinearView view;
  view.weight.data = reinterpret_cast<const std::byte*>(identity.data());
  view.weight.num_out = view.weight.num_in = view.weight.out_stride = width;
  Matrix<float> matrix(input.num_rows(), width);
  PackedLinear(std::span(&view, 1), Precision::kFloat32, pool).Multiply(input, pool, matrix);
  return matrix;
}

class AttentionTest : public ::testing::TestWithParam<AttentionShape> {};

TEST_P(AttentionTest, AgreesWithDoubleLoops) {
  const AttentionShape& shape = GetParam();
  // Lengths of 1, of whole blocks, one more than a block, and of several blocks.
  const PromptGroup groups[] = {{TokenIds(1), {TokenIds(2), TokenIds(1)}},
                                {TokenIds(65), {TokenIds(33), TokenIds(18)}},
                                {TokenIds(150), {TokenIds(80)}},
                                {TokenIds(16), {TokenIds(65)}}};
  const std::vector<const PromptGroup*> pointers = {&groups[0], &groups[1], &groups[2], &groups[3]};
  const PackedBatch batch = PackGroups(pointers, {});
  const std::int64_t width = shape.num_heads * shape.head_dim, kv_width = shape.num_kv_heads * shape.head_dim;
  std::mt19937 random(3);
  Matrix<float> key_values(batch.num_rows(), 2 * kv_width);
  Fill(key_values, random);
  const ThreadPool pool(2);
  const PrepareHeads nothing = [](const Segment&, std::int64_t, float*) {};
  KeyValueBlocks blocks(shape, batch, pool, nothing, key_values);
  for (const bool head_rows_only : {false, true}) {
    const std::vector<QueryRows>& query_rows = head_rows_only ? batch.head_queries : batch.all_queries;
    const std::int64_t num_queries =
        head_rows_only ? static_cast<std::int64_t>(batch.head_rows.size()) : batch.num_rows();
    Matrix<float> queries(num_queries + kQuerySlack, width);
    Fill(queries, random);
    GemmInput output(Precision::kFloat32, num_queries, width);
    Attend(shape, batch, query_rows, nothing, blocks, pool, queries, output);
    const Matrix<float> attended = ToMatrix(output, width, pool);

    for (std::size_t s = 0; s < batch.segments.size(); ++s) {
      for (std::int64_t i = 0; i < query_rows[s].num_rows; ++i) {
        const std::int64_t query = query_rows[s].first_row + i;
        const std::int64_t row = batch.segments[s].num_rows - query_rows[s].num_rows + i;
        const std::vector<std::int64_t> visible = VisibleRows(batch, batch.segments[s], row, shape.sliding_window);
        for (std::int64_t head = 0; head < shape.num_heads; ++head) {
          const std::int64_t kv = head * shape.num_kv_heads / shape.num_heads * shape.head_dim;
          std::vector<double> expected(shape.head_dim, 0.0);
          double sum = 0.0;
          for (const std::int64_t key : visible) {
            double score = 0.0;
            for (std::int64_t d = 0; d < shape.head_dim; ++d) {
              score += static_cast<double>(queries.row(query)[head * shape.head_dim + d]) * key_values.row(key)[kv + d];
            }
            score *= shape.scale;
            if (shape.softcap > 0.0) score = shape.softcap * std::tanh(score / shape.softcap);
            sum += std::exp(score);
            for (std::int64_t d = 0; d < shape.head_dim; ++d) {
              expected[d] += std::exp(score) * key_values.row(key)[kv_width + kv + d];
            }
          }
          for (std::int64_t d = 0; d < shape.head_dim; ++d) {
            ASSERT_NEAR(attended.row(query)[head * shape.head_dim + d], expected[d] / sum, 2e-5)
                << "segment " << s << " row " << row << " head " << head;
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionTest,
                         ::testing::Values(AttentionShape{4, 4, 16, 0.25, 0.0, 0},  // one key head per query head
                                           AttentionShape{6, 2, 12, 0.2, 0.0, 0},   // grouped
                                           AttentionShape{3, 1, 64, 0.1, 5.0, 0},   // soft-capped
                                           AttentionShape{2, 1, 8, 0.3, 0.0, 1},    // sees itself alone
                                           AttentionShape{2, 2, 8, 0.3, 2.0, 20},   // windows inside a block,
                                           AttentionShape{2, 1, 24, 0.2, 0.0, 70})  // and over blocks
);

}  // namespace
}  // namespace prefscore
