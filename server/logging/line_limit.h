// SPDX-License-Identifier: Apache-2.0
// Keeps what may happen thousands of times a second from filling the log.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "server/util/steady_clock.h"

namespace prefscore {

// For one thread at a time.
class LineLimit {
 public:
  // One line is let through in each `period`.
  explicit LineLimit(absl::Duration period, std::function<absl::Time()> now = SteadyNow)
      : period_(period), now_(std::move(now)) {}

  // Asked before each line. Nothing: it is held back. Otherwise how many were since the last that was let through.
  std::optional<std::int64_t> Admit() {
    const absl::Time now = now_();
    if (now < next_) {
      ++num_held_back_;
      return std::nullopt;
    }
    next_ = now + period_;
    return std::exchange(num_held_back_, 0);
  }

 private:
  const absl::Duration period_;
  const std::function<absl::Time()> now_;
  absl::Time next_ = absl::InfinitePast();
  std::int64_t num_held_back_ = 0;
};

}  // namespace prefscore
