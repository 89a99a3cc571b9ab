// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/tls_metrics.h"

#include "server/metrics/one_value.h"

namespace prefscore {

std::vector<prometheus::MetricFamily> TlsMetrics::Collect() const {
  return {OneValue(prometheus::MetricType::Gauge, "prefscore_tls_certificate_expiry_timestamp_seconds",
                   "When the first certificate of --tls-certificate that is in use ends, seconds since the epoch.",
                   static_cast<double>(absl::ToUnixSeconds(files_->Current()->expires_at)))};
}

}  // namespace prefscore
