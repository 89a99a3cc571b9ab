// SPDX-License-Identifier: Apache-2.0
// Embed, GatherRows, CastMatrix: what moves values and rounds them at most once, so that every bit is known.
#include "tests/testing/kernel_backend.h"

namespace prefscore {
namespace {

using namespace testing;
using Source = kernels::CastMatrixArgs::Source;

class EmbedTest : public KernelTest {
 protected:
  // Runs Embed and expects every bit of the formula, which rounds as a kernel that does each operation once.
  void ExpectExact(ElementType type, std::int64_t num_rows, std::int64_t width, bool has_positions, float scale,
                   std::size_t offset) {
    constexpr int kVocab = 40, kPositions = 12;
    SharedMemory memory(GetParam());
    std::mt19937 random(1);
    std::vector<std::int32_t> tokens(num_rows), positions(num_rows);
    for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random() % kVocab);
    for (std::int32_t& position : positions) position = static_cast<std::int32_t>(random() % kPositions);
    const std::vector<float> token_embedding = Rounded(type, RandomFloats(kVocab * width, 2.0f, 2));
    const std::vector<float> position_embedding = Rounded(type, RandomFloats(kPositions * width, 2.0f, 3));
    const auto hidden = memory.Copy(std::vector<float>(num_rows * width), offset);
    const std::size_t byte_offset = offset * kernels::SizeOf(type);
    RunKernel(GetParam(), kernels::EmbedArgs{
        .type = type,
        .tokens = memory.Copy(tokens).data(),
        .positions = memory.Copy(positions).data(),
        .token_embedding = memory.Copy(ToElements(type, token_embedding), byte_offset).data(),
        .position_embedding =
            has_positions ? memory.Copy(ToElements(type, position_embedding), byte_offset).data() : nullptr,
        .scale = scale,
        .num_rows = num_rows,
        .width = width,
        .hidden = hidden.data()});
    for (std::int64_t row = 0; row < num_rows; ++row) {
      for (std::int64_t i = 0; i < width; ++i) {
        float expected = token_embedding[tokens[row] * width + i] * scale;
        if (has_positions) expected = expected + position_embedding[positions[row] * width + i];
        ASSERT_EQ(hidden[row * width + i], expected) << "row " << row << " column " << i << " width " << width;
      }
    }
  }
};

TEST_P(EmbedTest, EveryBit) {
  for (const ElementType type : kElementTypes) {
    for (const std::int64_t width : {1, 3, 4, 8, 130, 511, 512, 516, 1028}) {
      for (const std::size_t offset : {0, 1}) {
        ExpectExact(type, 5, width, /*has_positions=*/false, 1.0f, offset);
        ExpectExact(type, 5, width, /*has_positions=*/true, 27.75f, offset);
      }
    }
    ExpectExact(type, kManyRows, 8, /*has_positions=*/true, 1.0f, 0);
    ExpectExact(type, 0, 8, /*has_positions=*/false, 1.0f, 0);
  }
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(EmbedTest);

class GatherRowsTest : public KernelTest {
 protected:
  void ExpectGathered(std::int64_t num_rows, std::int64_t row_bytes, std::size_t offset) {
    constexpr int kSourceRows = 19;
    SharedMemory memory(GetParam());
    std::mt19937 random(1);
    std::vector<std::byte> source(kSourceRows * row_bytes);
    for (std::byte& value : source) value = static_cast<std::byte>(random());
    std::vector<std::int32_t> rows(num_rows);
    for (std::int32_t& row : rows) row = static_cast<std::int32_t>(random() % kSourceRows);
    const auto out = memory.Copy(std::vector<std::byte>(num_rows * row_bytes), offset);
    RunKernel(GetParam(), kernels::GatherRowsArgs{
        .source = memory.Copy(source, offset).data(),
        .rows = memory.Copy(rows).data(),
        .num_rows = num_rows,
        .row_bytes = row_bytes,
        .out = out.data()});
    for (std::int64_t i = 0; i < num_rows; ++i) {
      ASSERT_EQ(std::memcmp(out.data() + i * row_bytes, source.data() + rows[i] * row_bytes, row_bytes), 0)
          << "row " << i << " of " << row_bytes << " bytes";
    }
  }
};

TEST_P(GatherRowsTest, EveryByte) {
  for (const std::int64_t row_bytes : {1, 2, 6, 12, 16, 100, 2048, 2064, 4100}) {
    for (const std::size_t offset : {0, 1, 2, 4, 8}) ExpectGathered(7, row_bytes, offset);
  }
  ExpectGathered(kManyRows, 16, 0);
  ExpectGathered(0, 16, 0);
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(GatherRowsTest);

class CastMatrixTest : public KernelTest {
 protected:
  void ExpectCast(Source source_type, ElementType type, std::int64_t num_rows, std::int64_t num_columns,
                  std::int64_t row_stride, std::int64_t column_stride, std::int64_t out_stride) {
    SharedMemory memory(GetParam());
    std::mt19937 random(1);
    const std::int64_t value_bytes = source_type == Source::kFloat32 ? 4 : 2;
    const std::int64_t num_values = (num_rows - 1) * row_stride + (num_columns - 1) * column_stride + 1;
    std::vector<std::byte> source(num_values * value_bytes);  // any bits: subnormal, infinite and NaN ones too
    for (std::byte& value : source) value = static_cast<std::byte>(random());
    const std::vector<float> before = Rounded(type, RandomFloats(num_rows * out_stride, 1.0f, 2));
    const auto out = memory.Copy(ToElements(type, before));
    RunKernel(GetParam(), kernels::CastMatrixArgs{
        .source_type = source_type,
        .source = memory.Copy(source).data(),
        .row_stride = row_stride,
        .column_stride = column_stride,
        .num_rows = num_rows,
        .num_columns = num_columns,
        .type = type,
        .out = out.data(),
        .out_stride = out_stride});
    std::vector<float> expected = before;  // columns beyond num_columns stay
    for (std::int64_t row = 0; row < num_rows; ++row) {
      for (std::int64_t column = 0; column < num_columns; ++column) {
        const std::byte* value = source.data() + (row * row_stride + column * column_stride) * value_bytes;
        float& wanted = expected[row * out_stride + column];
        std::uint16_t bits;
        std::memcpy(&bits, value, 2);
        if (source_type == Source::kFloat32) std::memcpy(&wanted, value, 4);
        if (source_type == Source::kBfloat16) wanted = kernels::ToFloat(Bfloat16{bits});
        if (source_type == Source::kFloat16) wanted = kernels::HalfToFloat(bits);
      }
    }
    ExpectSameBits(FromElements(type, out), Rounded(type, expected));
  }
};

TEST_P(CastMatrixTest, EveryBit) {
  for (const Source source : {Source::kFloat32, Source::kBfloat16, Source::kFloat16}) {
    for (const ElementType type : kElementTypes) {
      ExpectCast(source, type, 1, 1, 1, 1, 1);
      ExpectCast(source, type, 1, 1000, 1000, 1, 1000);
      ExpectCast(source, type, 33, 70, 70, 1, 70);
      ExpectCast(source, type, 33, 70, 75, 1, 96);      // a range of a wider matrix, into one
      ExpectCast(source, type, 70, 33, 1, 70, 33);      // transposed
      ExpectCast(source, type, 64, 31, 1, 65, 40);
    }
  }
}

PREFSCORE_INSTANTIATE_KERNEL_TEST(CastMatrixTest);

}  // namespace
}  // namespace prefscore
