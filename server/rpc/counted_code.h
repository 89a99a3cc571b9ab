// SPDX-License-Identifier: Apache-2.0
// Under which code a call is counted: that which its client saw.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/time/time.h"

namespace prefscore {

// A call that is not answered at its deadline is DEADLINE_EXCEEDED to its client, while here it was cancelled, or
// succeeded in vain. A client knows its deadline before the server does: the time in which the call arrived comes on top
// here, and the wire rounds long ones up by a hundredth at most.
inline grpc::StatusCode CountedCode(grpc::StatusCode code, absl::Time start, absl::Time deadline, absl::Time end) {
  constexpr absl::Duration kLatency = absl::Milliseconds(50);
  if (code != grpc::OK && code != grpc::CANCELLED) return code;
  const bool is_known_late = end >= deadline;
  const bool may_be_late = deadline != absl::InfiniteFuture() && end >= deadline - kLatency - 0.01 * (deadline - start);
  return is_known_late || (code == grpc::CANCELLED && may_be_late) ? grpc::DEADLINE_EXCEEDED : code;
}

}  // namespace prefscore
