// SPDX-License-Identifier: Apache-2.0
#include "server/util/retry_delay.h"

#include "gtest/gtest.h"

namespace prefscore {
namespace {

TEST(RetryDelayTest, AStatusCarriesItsDelay) {
  const absl::Status status = WithRetryDelay(absl::ResourceExhaustedError("full"), absl::Microseconds(1'234'567));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "full");
  EXPECT_EQ(RetryDelayOf(status), absl::Microseconds(1'234'567));
  EXPECT_EQ(RetryDelayOf(absl::ResourceExhaustedError("full")), std::nullopt);
  EXPECT_EQ(RetryDelayOf(absl::OkStatus()), std::nullopt);
}

}  // namespace
}  // namespace prefscore
