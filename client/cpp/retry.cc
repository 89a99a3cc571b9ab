// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/retry.h"

#include <algorithm>
#include <random>
#include <utility>

namespace prefscore::client {
namespace {

double UniformRandom() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

RetryPolicy WithGenerator(RetryPolicy policy) {
  if (!policy.random) policy.random = UniformRandom;
  return policy;
}

}  // namespace

Backoff::Backoff(RetryPolicy policy) : policy_(WithGenerator(std::move(policy))), backoff_(policy_.initial_backoff) {}

std::optional<absl::Duration> Backoff::NextDelay(const CallError& error) {
  const bool is_retryable =
      absl::IsUnavailable(error.status) || absl::IsCancelled(error.status) || error.retry_delay.has_value();
  if (error.status.ok() || error.is_lasting || !is_retryable || ++num_failed_attempts_ >= policy_.max_attempts) return std::nullopt;
  const double random = policy_.random();
  const absl::Duration backoff = backoff_ * (1 + policy_.jitter * (2 * random - 1));
  backoff_ = std::min(backoff_ * policy_.multiplier, policy_.max_backoff);
  return error.retry_delay ? *error.retry_delay * (1 + policy_.jitter * random) : backoff;
}

void Backoff::Reset() {
  num_failed_attempts_ = 0;
  backoff_ = policy_.initial_backoff;
}

absl::Status CallWithRetry(const RetryPolicy& policy, absl::Duration timeout,
                           const std::function<CallError(absl::Time deadline)>& attempt) {
  const absl::Time deadline = policy.now() + timeout;
  Backoff backoff(policy);
  for (;;) {
    const CallError error = attempt(deadline);
    if (error.status.ok()) return absl::OkStatus();
    const std::optional<absl::Duration> delay = backoff.NextDelay(error);
    if (!delay || policy.now() + *delay >= deadline) return error.status;
    policy.on_retry(error.status, *delay);
    policy.sleep(*delay);
  }
}

}  // namespace prefscore::client
