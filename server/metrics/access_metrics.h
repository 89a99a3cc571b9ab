// SPDX-License-Identifier: Apache-2.0
// The metrics of tokens and quotas; part of Metrics. Without a token file there are no series by token, and all else is 0.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"
#include "server/access/observer.h"

namespace prefscore {

// Thread-safe. Series by token are made when the file that names it is read, so the file bounds their number; they stay
// when a later file names it no more, as counters do.
class AccessMetrics {
 public:
  explicit AccessMetrics(prometheus::Registry& registry);

  // Counts into this, which must outlive the store that gets it. Notes are left to others.
  AccessObserver Observer();

 private:
  struct TokenMetrics {
    prometheus::Counter* requests;
    prometheus::Counter* charged_tokens;
    std::array<prometheus::Counter*, kQuotaRefusalNames.size()> refusals;  // [QuotaRefusal]
    prometheus::Gauge* expiry;
  };

  void OnLoaded(const std::vector<TokenEntry>& entries);
  TokenMetrics Of(const std::string& token) const;

  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Counter>& charged_tokens_;
  prometheus::Family<prometheus::Counter>& quota_refusals_;
  prometheus::Family<prometheus::Gauge>& expiry_;
  std::array<prometheus::Counter*, kAccessRefusalNames.size()> refusals_;  // [AccessRefusal]
  prometheus::Gauge* file_is_broken_;
  prometheus::Gauge* file_loaded_;

  mutable absl::Mutex mutex_;
  std::map<std::string, TokenMetrics> tokens_ ABSL_GUARDED_BY(mutex_);  // by name
};

}  // namespace prefscore
