// SPDX-License-Identifier: Apache-2.0
// The memory of the GPU that a server computes on.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/models/load_model.h"

namespace prefscore {

// Asks at each scrape; where the device tells nothing, as the CPU does, there is no series. Thread-safe if `memory_of`
// is.
class GpuMetrics : public prometheus::Collectable {
 public:
  using MemoryOf = std::function<std::optional<DeviceMemory>(const std::string& device)>;

  explicit GpuMetrics(std::string device, MemoryOf memory_of = MemoryOfDevice)
      : device_(std::move(device)), memory_of_(std::move(memory_of)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::string device_;
  const MemoryOf memory_of_;
};

}  // namespace prefscore
