// SPDX-License-Identifier: Apache-2.0
// The metrics of the cache of log-probs; part of Metrics.
#pragma once

#include <array>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"
#include "server/cache/log_prob_cache.h"

namespace prefscore {

// Thread-safe. Without a cache the state is "off" and all else 0.
class CacheMetrics {
 public:
  explicit CacheMetrics(prometheus::Registry& registry);

  // Counts into this, which must outlive the cache that gets it. Notes are left to others.
  CacheObserver Observer();

 private:
  void SetState(std::size_t state);

  prometheus::Counter* hits_;
  prometheus::Counter* misses_;
  prometheus::Counter* late_;
  prometheus::Counter* bytes_read_;
  prometheus::Counter* bytes_written_;
  prometheus::Counter* entries_written_;
  prometheus::Counter* entries_dropped_;
  prometheus::Counter* entries_evicted_;
  prometheus::Gauge* stored_bytes_;
  std::array<prometheus::Counter*, 4> errors_;  // [CacheError]
  std::array<prometheus::Gauge*, 4> states_;    // [CacheState], and off
};

}  // namespace prefscore
