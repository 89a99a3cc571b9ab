// SPDX-License-Identifier: Apache-2.0
// When the certificate in use ends. Collected, not set: a renewed certificate shows at the next scrape.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "prometheus/collectable.h"
#include "server/tls/certificate_files.h"

namespace prefscore {

class TlsMetrics : public prometheus::Collectable {
 public:
  explicit TlsMetrics(std::shared_ptr<CertificateFiles> files) : files_(std::move(files)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::shared_ptr<CertificateFiles> files_;
};

}  // namespace prefscore
