// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/tls_metrics.h"

#include "prometheus/metric_family.h"

namespace prefscore {

std::vector<prometheus::MetricFamily> TlsMetrics::Collect() const {
  prometheus::ClientMetric metric;
  metric.gauge.value = static_cast<double>(absl::ToUnixSeconds(files_->Current()->expires_at));
  return {{"prefscore_tls_certificate_expiry_timestamp_seconds",
           "When the first certificate of --tls-certificate that is in use ends, seconds since the epoch.",
           prometheus::MetricType::Gauge,
           {metric}}};
}

}  // namespace prefscore
