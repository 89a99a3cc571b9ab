// SPDX-License-Identifier: Apache-2.0
#include "server/util/retry_delay.h"

#include <cstdint>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

constexpr char kDelayPayload[] = "prefscore/retry_delay_us";

}  // namespace

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  // A named text: the constructor from one that is moved has another name in clang than in the gcc that built abseil.
  const std::string delay_us = absl::StrCat(absl::ToInt64Microseconds(delay));
  status.SetPayload(kDelayPayload, absl::Cord(delay_us));
  return status;
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kDelayPayload);
  std::int64_t delay_us = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &delay_us)) return std::nullopt;
  return absl::Microseconds(delay_us);
}

}  // namespace prefscore
