// SPDX-License-Identifier: Apache-2.0
// What is asked for at a scrape rather than counted: families of values made on the spot.
#pragma once

#include <string>
#include <vector>

#include "prometheus/client_metric.h"
#include "prometheus/metric_family.h"

namespace prefscore {

// A family of one series. `type`: counter or gauge.
inline prometheus::MetricFamily OneValue(prometheus::MetricType type, std::string name, std::string help, double value,
                                         std::vector<prometheus::ClientMetric::Label> labels = {}) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  metric.counter.value = value;
  metric.gauge.value = value;
  return {.name = std::move(name), .help = std::move(help), .type = type, .metric = {std::move(metric)}};
}

}  // namespace prefscore
