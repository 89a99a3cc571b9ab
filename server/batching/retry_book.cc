// SPDX-License-Identifier: Apache-2.0
#include "server/batching/retry_book.h"

#include <algorithm>

namespace prefscore {
namespace {

constexpr double kTolerance = 0.05;     // of the delay: clocks, and the way to the server
constexpr double kPatience = 0.5;       // of the delay: a client adds jitter
constexpr absl::Duration kMinPatience = absl::Seconds(1);
constexpr double kLearningRate = 0.02;  // weight of one caller
constexpr double kMinReturnRate = 0.05;

}  // namespace

QueueLoad& QueueLoad::operator+=(const QueueLoad& other) {
  num_tokens += other.num_tokens;
  num_bytes += other.num_bytes;
  return *this;
}

QueueLoad& QueueLoad::operator-=(const QueueLoad& other) {
  num_tokens -= other.num_tokens;
  num_bytes -= other.num_bytes;
  return *this;
}

void RetryBook::Promise(std::uint64_t fingerprint, const QueueLoad& load, absl::Duration delay, absl::Time now) {
  if (fingerprint == 0 || promises_.size() >= kMaxPromises || promises_.contains(fingerprint)) return;
  const Entry entry{.load = load,
                    .due = now + delay,
                    .tolerance = kTolerance * delay,
                    .expiry = now + delay + std::max(kPatience * delay, kMinPatience)};
  promises_.emplace(fingerprint, entry);
  expiries_.insert({entry.expiry, fingerprint});
  total_ += load;
}

bool RetryBook::Claim(std::uint64_t fingerprint, absl::Time now, std::optional<absl::Duration>* wait) {
  wait->reset();
  const auto found = promises_.find(fingerprint);
  if (found == promises_.end()) return false;
  if (now < found->second.due - found->second.tolerance) {
    *wait = found->second.due - now;
    return false;
  }
  Remove(found);
  Learn(1);
  return true;
}

void RetryBook::Expire(absl::Time now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    Remove(promises_.find(expiries_.begin()->second));
    Learn(0);
  }
}

void RetryBook::Remove(std::map<std::uint64_t, Entry>::iterator position) {
  total_ -= position->second.load;
  expiries_.erase({position->second.expiry, position->first});
  promises_.erase(position);
}

void RetryBook::Learn(double returned) {
  return_rate_ = std::max(return_rate_ + kLearningRate * (returned - return_rate_), kMinReturnRate);
}

}  // namespace prefscore
