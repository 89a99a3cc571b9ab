// SPDX-License-Identifier: Apache-2.0
// Serves metrics as /metrics over HTTP.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "prometheus/collectable.h"

namespace prometheus {
class Exposer;
}

namespace prefscore {

// Serves as long as it lives, on threads of its own.
class MetricsExposer {
 public:
  using Sources = std::vector<std::shared_ptr<prometheus::Collectable>>;

  // `address` is HOST:PORT; port 0 takes a free one. UNAVAILABLE where the address cannot be bound. No two sources have
  // a metric of the same name.
  static absl::StatusOr<std::unique_ptr<MetricsExposer>> Start(const std::string& address, Sources sources);
  ~MetricsExposer();

  int port() const;

 private:
  MetricsExposer(Sources sources, std::unique_ptr<prometheus::Exposer> exposer);

  const Sources sources_;  // the exposer refers to them weakly
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace prefscore
