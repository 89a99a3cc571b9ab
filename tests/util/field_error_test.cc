// SPDX-License-Identifier: Apache-2.0
#include "server/util/field_error.h"

#include "gtest/gtest.h"

namespace prefscore {
namespace {

TEST(FieldError, CarriesItsFieldAndNamesItInTheMessage) {
  const absl::Status status = FieldError("chosen", "has 0 tokens");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), "chosen: has 0 tokens");
  EXPECT_EQ(FieldOf(status), "chosen");
}

TEST(FieldError, AParentIsPutInFront) {
  const absl::Status status = UnderField("pairs[3]", FieldError("chosen", "has 0 tokens"));
  EXPECT_EQ(std::string(status.message()), "pairs[3].chosen: has 0 tokens");
  EXPECT_EQ(FieldOf(status), "pairs[3].chosen");
}

TEST(FieldError, AStatusWithoutFieldGetsTheParents) {
  const absl::Status status = UnderField("pairs[3]", absl::FailedPreconditionError("no tokenizer"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(std::string(status.message()), "pairs[3]: no tokenizer");
  EXPECT_EQ(FieldOf(status), "pairs[3]");
}

TEST(FieldError, OkStaysOk) {
  EXPECT_TRUE(UnderField("pairs[3]", absl::OkStatus()).ok());
  EXPECT_EQ(FieldOf(absl::OkStatus()), "");
}

}  // namespace
}  // namespace prefscore
