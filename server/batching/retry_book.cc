// SPDX-License-Identifier: Apache-2.0
#include "server/batching/retry_book.h"

#include <algorithm>

namespace prefscore {
namespace {

constexpr double kTolerance = 0.05;     // of the delay: clocks, and the way to the server
constexpr double kPatience = 0.5;       // of the delay: a client adds jitter
constexpr absl::Duration kMinPatience = absl::Seconds(1);
constexpr double kLearningRate = 0.02;  // weight of one call
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

void RetryBook::Promise(const CallId& call, const QueueLoad& load, absl::Duration delay, absl::Time now) {
  if (call.fingerprint == 0 || promises_.size() >= kMaxPromises || promises_.contains(call)) return;
  Account& account = accounts_[call.caller];
  if (account.num_promises >= kMaxPromisesOfCaller) return;
  const Entry entry{.load = load,
                    .due = now + delay,
                    .tolerance = kTolerance * delay,
                    .expiry = now + delay + std::max(kPatience * delay, kMinPatience)};
  promises_.emplace(call, entry);
  expiries_.insert({entry.expiry, call});
  ++account.num_promises;
  account.total += load;
}

bool RetryBook::Claim(const CallId& call, absl::Time now, std::optional<absl::Duration>* wait) {
  wait->reset();
  const auto found = promises_.find(call);
  if (found == promises_.end()) return false;
  if (now < found->second.due - found->second.tolerance) {
    *wait = found->second.due - now;
    return false;
  }
  Remove(found, 1);
  return true;
}

void RetryBook::Expire(absl::Time now) {
  while (!expiries_.empty() && expiries_.begin()->first <= now) Remove(promises_.find(expiries_.begin()->second), 0);
}

RetryBook::Expectation RetryBook::Expected(const std::string& caller, const Expectation& most) const {
  Expectation expected;
  for (const auto& [name, account] : accounts_) {
    const double num_tokens = account.return_rate * static_cast<double>(account.total.num_tokens);
    const double num_bytes = account.return_rate * static_cast<double>(account.total.num_bytes);
    expected.num_tokens += name == caller ? num_tokens : std::min(num_tokens, most.num_tokens);
    expected.num_bytes += name == caller ? num_bytes : std::min(num_bytes, most.num_bytes);
  }
  return expected;
}

void RetryBook::Remove(std::map<CallId, Entry>::iterator position, double returned) {
  Account& account = accounts_[position->first.caller];
  --account.num_promises;
  account.total -= position->second.load;
  account.return_rate =
      std::max(account.return_rate + kLearningRate * (returned - account.return_rate), kMinReturnRate);
  expiries_.erase({position->second.expiry, position->first});
  promises_.erase(position);
}

}  // namespace prefscore
