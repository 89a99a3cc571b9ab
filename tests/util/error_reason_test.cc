// SPDX-License-Identifier: Apache-2.0
#include "server/util/error_reason.h"

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"
#include "server/util/retry_delay.h"

namespace prefscore {
namespace {

TEST(ErrorReasonTest, IsCarriedBesideCodeAndMessage) {
  const absl::Status status = WithReason(absl::ResourceExhaustedError("too long"), kOutOfMemoryReason);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(status.message()), "too long");
  EXPECT_EQ(ReasonOf(status), "OUT_OF_MEMORY");
  EXPECT_EQ(ReasonOf(absl::InternalError("none")), "");
}

TEST(ErrorReasonTest, AFieldThatIsPutInFrontKeepsWhatAnErrorCarries) {
  const absl::Status status =
      WithRetryDelay(WithReason(absl::ResourceExhaustedError("too long"), kOutOfMemoryReason), absl::Seconds(3));
  const absl::Status under = UnderField("pairs[2]", UnderField("chosen", status));
  EXPECT_EQ(std::string(under.message()), "pairs[2].chosen: too long");
  EXPECT_EQ(FieldOf(under), "pairs[2].chosen");
  EXPECT_EQ(ReasonOf(under), "OUT_OF_MEMORY");
  EXPECT_EQ(RetryDelayOf(under), absl::Seconds(3));
}

}  // namespace
}  // namespace prefscore
