// SPDX-License-Identifier: Apache-2.0
// The cache of log-probs of a server, from start to end.
#pragma once

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "server/cache/log_prob_cache.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/metrics/metrics.h"
#include "server/startup/exit_code.h"

namespace prefscore {

// Null where the configuration wants none.
std::unique_ptr<LogProbCache> OpenCache(const ServerConfig& config, Metrics& metrics, Logger& logger);

// Ends with the cache closed, or, where its disk hangs, ends the process: what hangs in the disk cannot be waited for.
class CacheAtEnd {
 public:
  // How long the disk may take to end what is under way.
  static constexpr absl::Duration kGrace = absl::Seconds(10);

  explicit CacheAtEnd(std::unique_ptr<LogProbCache> cache, absl::Duration grace = kGrace)
      : grace_(grace), cache_(std::move(cache)) {}
  CacheAtEnd(const CacheAtEnd&) = delete;
  ~CacheAtEnd();

  LogProbCache* get() const { return cache_.get(); }

  // kFailed until it is set: the server has not started.
  void EndIfItHangsWith(ExitCode code) { code_ = code; }

 private:
  const absl::Duration grace_;
  ExitCode code_ = kFailed;
  std::unique_ptr<LogProbCache> cache_;
};

}  // namespace prefscore
