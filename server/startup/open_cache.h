// SPDX-License-Identifier: Apache-2.0
// The cache of log-probs of a server, from start to end.
#pragma once

#include <memory>
#include <utility>

#include "server/cache/log_prob_cache.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/metrics/metrics.h"

namespace prefscore {

// Null where the configuration wants none.
std::unique_ptr<LogProbCache> OpenCache(const ServerConfig& config, Metrics& metrics, Logger& logger);

// Ends with the cache closed, or, where its disk hangs, ends the process: what hangs in the disk cannot be waited for.
class CacheAtEnd {
 public:
  explicit CacheAtEnd(std::unique_ptr<LogProbCache> cache) : cache_(std::move(cache)) {}
  CacheAtEnd(const CacheAtEnd&) = delete;
  ~CacheAtEnd();

  LogProbCache* get() const { return cache_.get(); }

 private:
  std::unique_ptr<LogProbCache> cache_;
};

}  // namespace prefscore
