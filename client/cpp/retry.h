// SPDX-License-Identifier: Apache-2.0
// Which failed calls are tried again, and when: UNAVAILABLE and CANCELLED after an exponential backoff with jitter,
// and any error that brings a RetryInfo (RESOURCE_EXHAUSTED: the queue is full) no sooner than it says. The client
// asks for no cancellation that it reports, so that CANCELLED comes from a server that stops. Everything else fails
// at once, RESOURCE_EXHAUSTED without a RetryInfo too: a message over the size limit does not shrink by waiting. So
// does UNAVAILABLE that lasts, as by a certificate that is not trusted.
#pragma once

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cpp/call_error.h"

namespace prefscore::client {

struct RetryPolicy {
  int max_attempts = 5;  // the first one included
  absl::Duration initial_backoff = absl::Milliseconds(200);
  absl::Duration max_backoff = absl::Seconds(10);
  double multiplier = 2;
  double jitter = 0.2;  // a backoff is scaled by 1 +- jitter, a RetryInfo's delay by 1 + jitter at most

  // Told before each wait: what failed, and how long the wait is.
  std::function<void(const absl::Status&, absl::Duration)> on_retry = [](const absl::Status&, absl::Duration) {};

  // The world, replaceable in tests.
  std::function<void(absl::Duration)> sleep = [](absl::Duration delay) { absl::SleepFor(delay); };
  std::function<absl::Time()> now = absl::Now;
  std::function<double()> random = nullptr;  // uniform in [0, 1); default: a generator of its own
};

// Counts the attempts of one call. Not thread-safe.
class Backoff {
 public:
  explicit Backoff(RetryPolicy policy);

  // How long to wait before the next attempt, after `error`; nothing where there is to be none.
  std::optional<absl::Duration> NextDelay(const CallError& error);

  // Starts counting anew: an attempt brought something.
  void Reset();

 private:
  const RetryPolicy policy_;
  int num_failed_attempts_ = 0;
  absl::Duration backoff_;
};

// Calls `attempt` until it succeeds, fails for good, or would have to wait beyond now + timeout.
absl::Status CallWithRetry(const RetryPolicy& policy, absl::Duration timeout,
                           const std::function<CallError(absl::Time deadline)>& attempt);

}  // namespace prefscore::client
