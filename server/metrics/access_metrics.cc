// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/access_metrics.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/metrics/families.h"

namespace prefscore {

AccessMetrics::AccessMetrics(prometheus::Registry& registry)
    : requests_(CounterFamily(registry, "prefscore_token_requests_total",
                              "Calls and scrapes that were let in with a token, by its name")),
      charged_tokens_(CounterFamily(registry, "prefscore_token_charged_tokens_total",
                                    "Model tokens that a token's calls made the models compute, by its name")),
      quota_refusals_(CounterFamily(registry, "prefscore_quota_refusals_total",
                                    "Calls that were refused since their token was over a quota, by its name and the quota")),
      expiry_(GaugeFamily(registry, "prefscore_token_expiry_timestamp_seconds",
                          "When a token expires, seconds since the epoch; no series for tokens that never do")) {
  auto& refusals = CounterFamily(registry, "prefscore_access_refusals_total",
                                 "Calls and scrapes that were refused for want of a token that may make them");
  for (std::size_t idx = 0; idx < refusals_.size(); ++idx) {
    refusals_[idx] = &refusals.Add({{"reason", kAccessRefusalNames[idx]}});
  }
  file_is_broken_ = &GaugeFamily(registry, "prefscore_token_file_broken",
                                 "1 while the token file cannot be read or is wrong; the tokens read before stay in force")
                         .Add({});
  file_loaded_ = &GaugeFamily(registry, "prefscore_token_file_loaded_timestamp_seconds",
                              "When the tokens in force were read, seconds since the epoch; 0: there is no token file")
                      .Add({});
}

AccessMetrics::TokenMetrics AccessMetrics::Of(const std::string& token) const {
  absl::MutexLock lock(&mutex_);
  return tokens_.at(token);
}

void AccessMetrics::OnLoaded(const std::vector<TokenEntry>& entries) {
  file_is_broken_->Set(0);
  file_loaded_->Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  absl::MutexLock lock(&mutex_);
  for (auto& [name, metrics] : tokens_) {
    if (metrics.expiry != nullptr) expiry_.Remove(metrics.expiry);
    metrics.expiry = nullptr;
  }
  for (const TokenEntry& entry : entries) {
    const auto [position, is_new] = tokens_.try_emplace(entry.name);
    TokenMetrics& metrics = position->second;
    if (is_new) {
      metrics.requests = &requests_.Add({{"token", entry.name}});
      metrics.charged_tokens = &charged_tokens_.Add({{"token", entry.name}});
      for (std::size_t idx = 0; idx < metrics.refusals.size(); ++idx) {
        metrics.refusals[idx] = &quota_refusals_.Add({{"token", entry.name}, {"quota", kQuotaRefusalNames[idx]}});
      }
    }
    if (entry.expiry == absl::InfiniteFuture()) continue;
    metrics.expiry = &expiry_.Add({{"token", entry.name}});
    metrics.expiry->Set(absl::ToDoubleSeconds(entry.expiry - absl::UnixEpoch()));
  }
}

AccessObserver AccessMetrics::Observer() {
  AccessObserver observer;
  observer.on_loaded = [this](const std::vector<TokenEntry>& entries) { OnLoaded(entries); };
  observer.on_reload_failed = [this] { file_is_broken_->Set(1); };
  observer.on_let_in = [this](const std::string& token) { Of(token).requests->Increment(); };
  observer.on_refused = [this](AccessRefusal reason) { refusals_[static_cast<std::size_t>(reason)]->Increment(); };
  observer.on_charged = [this](const std::string& token, std::int64_t num_tokens) {
    Of(token).charged_tokens->Increment(static_cast<double>(num_tokens));
  };
  observer.on_over_quota = [this](const std::string& token, QuotaRefusal quota) {
    Of(token).refusals[static_cast<std::size_t>(quota)]->Increment();
  };
  return observer;
}

}  // namespace prefscore
