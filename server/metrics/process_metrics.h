// SPDX-License-Identifier: Apache-2.0
// The metrics that every Prometheus client library has of its process, under their usual names: process_*.
#pragma once

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace prefscore {

// Reads /proc at each scrape; what cannot be read there has no series. Thread-safe.
class ProcessMetrics : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace prefscore
