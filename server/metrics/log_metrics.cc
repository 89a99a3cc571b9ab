// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/log_metrics.h"

#include "server/metrics/one_value.h"

namespace prefscore {

std::vector<prometheus::MetricFamily> LogMetrics::Collect() const {
  return {OneValue(prometheus::MetricType::Counter, "prefscore_log_dropped_lines_total",
                   "Lines of the log that could not be written", static_cast<double>(logger_.num_dropped_lines()))};
}

}  // namespace prefscore
