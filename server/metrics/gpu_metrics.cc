// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/gpu_metrics.h"

#include "server/metrics/one_value.h"

namespace prefscore {

std::vector<prometheus::MetricFamily> GpuMetrics::Collect() const {
  const std::optional<DeviceMemory> memory = memory_of_(device_);
  if (!memory.has_value()) return {};
  const std::vector<prometheus::ClientMetric::Label> labels = {{"device", device_}};
  return {OneValue(prometheus::MetricType::Gauge, "prefscore_gpu_memory_used_bytes",
                   "Memory of the GPU that is taken, by all processes", static_cast<double>(memory->used_bytes), labels),
          OneValue(prometheus::MetricType::Gauge, "prefscore_gpu_memory_total_bytes", "Memory that the GPU has",
                   static_cast<double>(memory->total_bytes), labels)};
}

}  // namespace prefscore
