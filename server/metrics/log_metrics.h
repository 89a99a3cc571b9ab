// SPDX-License-Identifier: Apache-2.0
// What the log lost.
#pragma once

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/logging/logger.h"

namespace prefscore {

// Asks the logger, which outlives it, at each scrape. Thread-safe.
class LogMetrics : public prometheus::Collectable {
 public:
  explicit LogMetrics(const Logger& logger) : logger_(logger) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Logger& logger_;
};

}  // namespace prefscore
