// SPDX-License-Identifier: Apache-2.0
#include "server/models/packed_linear.h"

#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <bit>

#include "server/models/row_ops.h"
#include "server/models/weight_reader.h"

namespace prefscore {
namespace {

constexpr std::int64_t kSummands = 256;  // of one chain of float32 additions

std::int64_t RoundUpToEven(std::int64_t value) { return (value + 1) / 2 * 2; }

const at::BFloat16* AsTorch(const std::uint16_t* values) { return reinterpret_cast<const at::BFloat16*>(values); }

}  // namespace

GemmInput::GemmInput(Precision precision, std::int64_t num_rows, std::int64_t num_columns)
    : precision_(precision), num_rows_(num_rows), num_columns_(num_columns) {
  if (precision == Precision::kFloat32) {
    float32_ = Matrix<float>(num_rows, num_columns);
    return;
  }
  const std::int64_t stride = RoundUpToEven(num_columns);
  bfloat16_ = Matrix<std::uint16_t>(num_rows, num_columns, stride);
  if (stride == num_columns) return;
  for (std::int64_t row = 0; row < num_rows; ++row) bfloat16_.row(row)[num_columns] = 0;
}

void GemmInput::Store(std::int64_t row, std::int64_t first_column, const float* values, std::int64_t count) {
  if (precision_ == Precision::kFloat32) {
    std::copy_n(values, count, float32_.row(row) + first_column);
  } else {
    GetRowOps().to_bfloat16(values, count, bfloat16_.row(row) + first_column);
  }
}

GemmInput GemmInput::Gather(std::span<const std::int64_t> rows) const {
  GemmInput gathered(precision_, static_cast<std::int64_t>(rows.size()), num_columns_);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (precision_ == Precision::kFloat32) {
      std::copy_n(float32_.row(rows[i]), num_columns_, gathered.float32_.row(i));
    } else {
      std::copy_n(bfloat16_.row(rows[i]), num_columns_, gathered.bfloat16_.row(i));
    }
  }
  return gathered;
}

PackedLinear::PackedLinear(std::span<const LinearView> views, Precision precision, const ThreadPool& pool)
    : precision_(precision), num_in_(views.front().weight.num_in) {
  bool has_bias = false;
  for (const LinearView& view : views) {
    num_out_ += view.weight.num_out;
    has_bias = has_bias || view.bias;
  }
  if (has_bias) {
    for (const LinearView& view : views) {
      std::vector<float> bias = ReadWeightVector(view.bias, precision);
      bias.resize(view.weight.num_out, 0.0f);
      bias_.insert(bias_.end(), bias.begin(), bias.end());
    }
  }
  if (precision == Precision::kFloat32) {
    float32_ = Matrix<float>(num_panels(), num_in_ * kPanelColumns);
  } else {
    bfloat16_ = Matrix<std::uint16_t>(num_panels(), RoundUpToEven(num_in_) * kPanelColumns);
  }
  pool.ParallelFor(num_panels(), [&](std::int64_t panel) { PackPanel(views, panel); });
}

void PackedLinear::PackPanel(std::span<const LinearView> views, std::int64_t panel) {
  constexpr std::int64_t kInputs = 64;  // a block of weights, transposed within the first cache
  const bool is_float32 = precision_ == Precision::kFloat32;
  const std::int64_t num_columns = panel_columns(panel);
  float block[kPanelColumns][kInputs] = {};  // columns beyond the last stay 0
  for (std::int64_t first = 0; first < num_in_; first += kInputs) {
    const std::int64_t count = std::min(kInputs, num_in_ - first);
    for (std::int64_t column = 0; column < num_columns; ++column) {
      std::int64_t out_index = panel * kPanelColumns + column;
      const LinearView* view = views.data();
      for (; out_index >= view->weight.num_out; ++view) out_index -= view->weight.num_out;
      ReadWeights(view->weight, out_index, first, count, precision_, block[column]);
      if (count % 2 == 1) block[column][count] = 0.0f;  // the second half of the last bfloat16 pair
    }
    if (is_float32) {
      float* packed = float32_.row(panel) + first * kPanelColumns;
      for (std::int64_t k = 0; k < count; ++k) {
        for (std::int64_t column = 0; column < kPanelColumns; ++column) *packed++ = block[column][k];
      }
    } else {
      // Two inputs of a column lie side by side. The values are rounded already: their upper half is the bfloat16.
      std::uint16_t* packed = bfloat16_.row(panel) + first * kPanelColumns;
      for (std::int64_t k = 0; k < count; k += 2) {
        for (std::int64_t column = 0; column < kPanelColumns; ++column) {
          *packed++ = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(block[column][k]) >> 16);
          *packed++ = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(block[column][k + 1]) >> 16);
        }
      }
    }
  }
}

void PackedLinear::ReadRow(std::int64_t out_index, float* values) const {
  const std::int64_t panel = out_index / kPanelColumns, column = out_index % kPanelColumns;
  if (precision_ == Precision::kFloat32) {
    const float* packed = float32_.row(panel) + column;
    for (std::int64_t k = 0; k < num_in_; ++k) values[k] = packed[k * kPanelColumns];
  } else {
    const std::uint16_t* packed = bfloat16_.row(panel) + column * 2;
    for (std::int64_t k = 0; k < num_in_; ++k) {
      const std::uint32_t upper_half = packed[k / 2 * (2 * kPanelColumns) + k % 2];
      values[k] = std::bit_cast<float>(upper_half << 16);
    }
  }
}

std::int64_t PackedLinear::panel_columns(std::int64_t panel) const {
  return std::min(kPanelColumns, num_out_ - panel * kPanelColumns);
}

void PackedLinear::Multiply(const GemmInput& x, const ThreadPool& pool, Matrix<float>& out) const {
  ForEachTile(pool, x.num_rows(), num_panels(), [&](RowRange rows, std::int64_t panel) {
    MultiplyTile(x, rows.first, rows.count, panel, out.row(rows.first) + panel * kPanelColumns, out.stride());
  });
}

void PackedLinear::MultiplyTile(const GemmInput& x, std::int64_t first_row, std::int64_t num_rows, std::int64_t panel,
                                float* out, std::int64_t out_stride) const {
  const std::int64_t num_columns = panel_columns(panel);
  const bool add = has_bias();
  if (add) {
    const float* bias = bias_.data() + panel * kPanelColumns;
    for (std::int64_t row = 0; row < num_rows; ++row) std::copy_n(bias, num_columns, out + row * out_stride);
  }
  if (precision_ == Precision::kFloat32) {
    // The kernel adds up its terms one after the other and then adds the sum to `out`: sums of fewer terms keep the
    // rounding error down.
    for (std::int64_t k = 0; k < num_in_; k += kSummands) {
      const std::int64_t count = std::min(kSummands, num_in_ - k);
      const float* inputs = x.float32_.row(first_row) + k;
      const float* weights = float32_.row(panel) + k * kPanelColumns;
      at::native::cpublas::brgemm(num_rows, num_columns, count, x.float32_.stride(), kPanelColumns, out_stride,
                                  add || k > 0, inputs, weights, out);
    }
  } else {
    at::native::cpublas::brgemm(num_rows, num_columns, RoundUpToEven(num_in_), x.bfloat16_.stride(), kPanelColumns,
                                out_stride, add, AsTorch(x.bfloat16_.row(first_row)), AsTorch(bfloat16_.row(panel)),
                                out);
  }
}

void ProbeGemm(Precision precision) {
  const float weight[4] = {};
  LinearView view;
  view.weight.data = reinterpret_cast<const std::byte*>(weight);
  view.weight.num_out = view.weight.num_in = view.weight.out_stride = 2;
  const PackedLinear linear(std::span(&view, 1), precision, ThreadPool(1));
  GemmInput input(precision, 1, 2);
  input.Store(0, 0, weight, 2);
  float output[2];
  linear.MultiplyTile(input, 0, 1, 0, output, 2);
}

std::int64_t NumRowBlocks(std::int64_t num_rows) {
  return (num_rows + PackedLinear::kTileRows - 1) / PackedLinear::kTileRows;
}

RowRange RowBlock(std::int64_t num_rows, std::int64_t num_blocks, std::int64_t block) {
  const std::int64_t num_sixteens = (num_rows + 15) / 16;
  const std::int64_t first = num_sixteens * block / num_blocks * 16;
  return {first, std::min(num_rows, num_sixteens * (block + 1) / num_blocks * 16) - first};
}

void ForEachTile(const ThreadPool& pool, std::int64_t num_rows, std::int64_t num_panels,
                 const std::function<void(RowRange rows, std::int64_t panel)>& task) {
  const std::int64_t num_blocks = NumRowBlocks(num_rows);
  pool.ParallelFor(num_panels * num_blocks, [&](std::int64_t tile) {
    task(RowBlock(num_rows, num_blocks, tile % num_blocks), tile / num_blocks);
  });
}

}  // namespace prefscore
