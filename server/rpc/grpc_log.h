// SPDX-License-Identifier: Apache-2.0
// What gRPC itself says, such as of handshakes that fail, as lines of our log.
//
// gRPC calls "error" what a peer did wrong: here those are warnings. Whoever reaches the port can make it say the same
// thing again and again: of each place in gRPC's code one line a second is written, with the number of those before it
// that were not, as `held_back`.
#pragma once

#include <functional>

#include "absl/time/time.h"
#include "server/logging/logger.h"
#include "server/util/steady_clock.h"

namespace prefscore {

// As long as it lives, gRPC's lines go to `logger`; otherwise to standard error, in a form of their own. One per process.
class GrpcLog {
 public:
  explicit GrpcLog(Logger& logger, std::function<absl::Time()> now = SteadyNow);
  ~GrpcLog();
  GrpcLog(const GrpcLog&) = delete;
  GrpcLog& operator=(const GrpcLog&) = delete;
};

}  // namespace prefscore
