// SPDX-License-Identifier: Apache-2.0
#include "server/util/json_shape.h"

#include <string>

#include "gtest/gtest.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonShapeTest, CountsListsAndObjectsOutsideOfStrings) {
  EXPECT_EQ(MeasureJson("7").depth, 0);
  EXPECT_EQ(MeasureJson(R"({"a": [1, {"b": []}], "c": [2]})").depth, 4);
  EXPECT_EQ(MeasureJson(R"(["[[[", "\\", "\"[["])").depth, 1);
  EXPECT_EQ(MeasureJson(Nested(1'000'000)).depth, 1'000'000);
}

TEST(JsonShapeTest, CountsDigitsOfIntegers) {
  EXPECT_EQ(MeasureJson(R"([12, -345, 1.23456, 123456e7, "1234567"])").num_integer_digits, 3u);
}

TEST(JsonShapeTest, TheErrorNamesFieldDepthAndLimit) {
  EXPECT_TRUE(CheckJsonDepth(Nested(64), "tools").ok());
  EXPECT_TRUE(CheckJsonDepth(Nested(63), "tools", 1).ok());
  const absl::Status status = CheckJsonDepth(Nested(64), "tools", 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "tools");
  EXPECT_EQ(status.message(), "tools: nests lists and objects 64 deep; the limit is 63");
}

}  // namespace
}  // namespace prefscore
