// SPDX-License-Identifier: Apache-2.0
// Serves a registry as /metrics over HTTP.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "prometheus/registry.h"

namespace prometheus {
class Exposer;
}

namespace prefscore {

// Serves as long as it lives, on threads of its own.
class MetricsExposer {
 public:
  // `address` is HOST:PORT; port 0 takes a free one. UNAVAILABLE where the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(const std::string& address,
                                                               const std::shared_ptr<prometheus::Registry>& registry);
  ~MetricsExposer();

  int port() const;

 private:
  explicit MetricsExposer(std::unique_ptr<prometheus::Exposer> exposer);

  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace prefscore
