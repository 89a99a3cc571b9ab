// SPDX-License-Identifier: Apache-2.0
#include "server/access/quota.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/error_reason.h"
#include "server/util/retry_delay.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// So far ahead promises are made: further callers are told this, and may be refused again.
constexpr absl::Duration kMaxRetryDelay = absl::Minutes(5);
// Added to delays: who comes a rounding too early would be refused again.
constexpr absl::Duration kDelayMargin = absl::Milliseconds(1);

}  // namespace

QuotaCharge::~QuotaCharge() {
  if (quota_ != nullptr) quota_->Release(num_tokens_, /*is_charged=*/true);
}

void QuotaCharge::Correct(std::int64_t num_tokens) {
  if (quota_ == nullptr) return;
  {
    absl::MutexLock lock(&quota_->mutex_);
    quota_->Adjust(num_tokens - num_tokens_);
    num_tokens_ = num_tokens;
  }
  quota_->ServeLine(/*looks_at_all=*/false);
}

void QuotaCharge::Refund() {
  if (quota_ != nullptr) std::exchange(quota_, nullptr)->Release(num_tokens_, /*is_charged=*/false);
}

Quota::Quota(std::string token, const QuotaLimits& limits, AccessObserver observer, std::function<absl::Time()> now)
    : token_(std::move(token)),
      observer_(std::move(observer)),
      now_(std::move(now)),
      limits_(limits),
      bucket_tokens_(limits.burst_tokens),
      refilled_(now_()) {}

absl::StatusOr<QuotaCharge> Quota::Take(std::int64_t num_tokens) {
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = now_();
    Refill(now);
    RETURN_IF_ERROR(Check(num_tokens, now));
    Adjust(num_tokens);
  }
  return QuotaCharge(shared_from_this(), num_tokens);
}

absl::Status Quota::TakeInTurn(QuotaTurn turn) {
  {
    absl::MutexLock lock(&mutex_);
    if (limits_.concurrent_tokens && !line_.empty() && line_bytes_ + turn.num_bytes > kMaxLineBytes) {
      return Refuse(QuotaRefusal::kConcurrentTokens, turn.num_tokens,
                    absl::StrCat("messages that wait hold ", line_bytes_, " bytes"), kConcurrencyDelay);
    }
    line_tokens_ += turn.num_tokens;
    line_bytes_ += turn.num_bytes;
    line_.push_back(std::move(turn));
  }
  ServeLine(/*looks_at_all=*/false);
  return absl::OkStatus();
}

void Quota::EndTurns() { ServeLine(/*looks_at_all=*/true); }

absl::Duration Quota::Pause() const {
  absl::MutexLock lock(&mutex_);
  Refill(now_());
  if (limits_.tokens_per_second && bucket_tokens_ <= 0) return UntilRefilled();
  if (limits_.concurrent_tokens && (held_tokens_ >= *limits_.concurrent_tokens || !line_.empty())) {
    return kConcurrencyDelay;
  }
  return absl::ZeroDuration();
}

void Quota::SetLimits(const QuotaLimits& limits) {
  {
    absl::MutexLock lock(&mutex_);
    if (limits == limits_) return;
    Refill(now_());
    // A larger burst is there at once; debts stay.
    if (bucket_tokens_ >= 0) bucket_tokens_ += std::max(limits.burst_tokens - limits_.burst_tokens, 0.0);
    bucket_tokens_ = std::min(bucket_tokens_, limits.burst_tokens);
    limits_ = limits;
    promised_ = absl::InfinitePast();
  }
  ServeLine(/*looks_at_all=*/false);
}

// Where the clock was set back, it goes on from there.
void Quota::Refill(absl::Time now) const {
  const double elapsed_seconds = std::max(absl::ToDoubleSeconds(now - refilled_), 0.0);
  refilled_ = now;
  bucket_tokens_ =
      std::min(bucket_tokens_ + limits_.tokens_per_second.value_or(0) * elapsed_seconds, limits_.burst_tokens);
}

absl::Duration Quota::UntilRefilled() const {
  return absl::Seconds(-bucket_tokens_ / *limits_.tokens_per_second) + kDelayMargin;
}

absl::Status Quota::Refuse(QuotaRefusal reason, std::int64_t num_tokens, const std::string& why,
                           absl::Duration delay) const {
  observer_.on_over_quota(token_, reason);
  const double limit = reason == QuotaRefusal::kTokensPerSecond ? *limits_.tokens_per_second
                                                                : static_cast<double>(*limits_.concurrent_tokens);
  return WithRetryDelay(
      WithReason(absl::ResourceExhaustedError(absl::StrCat(
                     "the token '", token_, "' is over its quota ", kQuotaRefusalNames[static_cast<std::size_t>(reason)],
                     " = ", limit, ": ", why, "; this call needs about ", num_tokens, " tokens")),
                 "OVER_QUOTA"),
      delay);
}

absl::Status Quota::Check(std::int64_t num_tokens, absl::Time now) {
  if (limits_.tokens_per_second && bucket_tokens_ <= 0) {
    const double rate = *limits_.tokens_per_second;
    const absl::Time due = std::max(now + UntilRefilled(), std::min(promised_, now + kMaxRetryDelay));
    promised_ = due + absl::Seconds(static_cast<double>(num_tokens) / rate);
    return Refuse(QuotaRefusal::kTokensPerSecond, num_tokens,
                  absl::StrCat("calls before used up its burst_tokens = ", limits_.burst_tokens), due - now);
  }
  if (!Fits(line_tokens_ + num_tokens)) {
    return Refuse(QuotaRefusal::kConcurrentTokens, num_tokens,
                  absl::StrCat("calls that are not yet answered hold ", held_tokens_,
                               line_.empty() ? "" : absl::StrCat(" and messages of streams wait for ", line_tokens_)),
                  kConcurrencyDelay);
  }
  return absl::OkStatus();
}

bool Quota::Fits(std::int64_t num_tokens) const {
  return !limits_.concurrent_tokens || held_tokens_ <= 0 || held_tokens_ + num_tokens <= *limits_.concurrent_tokens;
}

void Quota::ServeLine(bool looks_at_all) {
  std::vector<std::pair<QuotaTurn, QuotaCharge>> served;
  {
    absl::MutexLock lock(&mutex_);
    if (line_.empty()) return;
    Refill(now_());
    std::deque<QuotaTurn> kept;
    for (; !line_.empty(); line_.pop_front()) {
      QuotaTurn& turn = line_.front();
      const bool is_over = turn.is_over();
      const bool is_let_in = !is_over && kept.empty() && Fits(turn.num_tokens);
      if (!is_over && !is_let_in) {
        if (!looks_at_all) break;
        kept.push_back(std::move(turn));
        continue;
      }
      line_tokens_ -= turn.num_tokens;
      line_bytes_ -= turn.num_bytes;
      if (is_let_in) Adjust(turn.num_tokens);
      QuotaCharge charge = is_let_in ? QuotaCharge(shared_from_this(), turn.num_tokens) : QuotaCharge();
      served.emplace_back(std::move(turn), std::move(charge));
    }
    if (looks_at_all) line_ = std::move(kept);
  }
  for (auto& [turn, charge] : served) turn.on_its_turn(std::move(charge));
}

void Quota::Adjust(std::int64_t num_tokens) {
  held_tokens_ += num_tokens;
  if (!limits_.tokens_per_second) return;
  bucket_tokens_ = std::min(bucket_tokens_ - static_cast<double>(num_tokens), limits_.burst_tokens);
}

void Quota::Release(std::int64_t num_tokens, bool is_charged) {
  {
    absl::MutexLock lock(&mutex_);
    held_tokens_ -= num_tokens;
    if (!is_charged && limits_.tokens_per_second) {
      bucket_tokens_ = std::min(bucket_tokens_ + static_cast<double>(num_tokens), limits_.burst_tokens);
    }
  }
  if (is_charged) observer_.on_charged(token_, num_tokens);
  ServeLine(/*looks_at_all=*/false);
}

}  // namespace prefscore
