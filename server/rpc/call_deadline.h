// SPDX-License-Identifier: Apache-2.0
// gRPC's times, and those of the clock that the server works by.
#pragma once

#include <grpcpp/server_context.h>

#include <chrono>

#include "absl/time/time.h"
#include "server/util/steady_clock.h"

namespace prefscore {

// gRPC keeps deadlines on a clock that does not jump, and tells them in terms of the wall clock of the moment. That is the
// system's: absl::Now follows a jump of it seconds later.
inline absl::Time DeadlineOf(const grpc::ServerContextBase& rpc) {
  return ToSteady(absl::FromChrono(rpc.deadline()), absl::FromChrono(std::chrono::system_clock::now()));
}

// From now on, as gRPC takes it: by the same clock, for the same reason.
inline std::chrono::system_clock::time_point GrpcTimeAfter(absl::Duration duration) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(absl::ToChronoNanoseconds(duration));
}

}  // namespace prefscore
