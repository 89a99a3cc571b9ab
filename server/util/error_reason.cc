// SPDX-License-Identifier: Apache-2.0
#include "server/util/error_reason.h"

#include "absl/strings/cord.h"

namespace prefscore {
namespace {

constexpr char kReasonPayload[] = "prefscore/reason";

}  // namespace

absl::Status WithReason(absl::Status status, const std::string& reason) {
  status.SetPayload(kReasonPayload, absl::Cord(reason));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonPayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace prefscore
