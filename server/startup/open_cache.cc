// SPDX-License-Identifier: Apache-2.0
#include "server/startup/open_cache.h"

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace prefscore {

std::unique_ptr<LogProbCache> OpenCache(const ServerConfig& config, Metrics& metrics, Logger& logger) {
  if (config.cache.folder.empty()) {
    logger.Log(LogLevel::kInfo, "cache: off (--cache-dir is empty)");
    return nullptr;
  }
  CacheObserver observer = metrics.cache().Observer();
  const auto log_at = [&](LogLevel level) {
    return [level, folder = config.cache.folder, &logger](const std::string& line) {
      logger.Log(level, absl::StrCat("cache ", folder, ": ", line));
    };
  };
  observer.on_note = log_at(LogLevel::kInfo);
  observer.on_warning = log_at(LogLevel::kWarning);
  return std::make_unique<LogProbCache>(
      LogProbCacheOptions{.folder = config.cache.folder, .max_bytes = config.cache.max_bytes}, std::move(observer));
}

CacheAtEnd::~CacheAtEnd() {
  if (cache_ == nullptr || LogProbCache::Close(std::move(cache_), grace_)) return;
  // Not by way of the log, whose thread may not get to it.
  std::cerr << "prefscore-server: the cache's disk did not answer within " << absl::FormatDuration(grace_)
            << "; what was not written to it is lost" << std::endl;
  std::_Exit(code_);
}

}  // namespace prefscore
