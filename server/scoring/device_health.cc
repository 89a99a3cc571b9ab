// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/device_health.h"

#include <algorithm>
#include <utility>

namespace prefscore {

void DeviceHealth::OnBatch(bool has_succeeded) {
  absl::MutexLock lock(&mutex_);
  const bool was_healthy = num_failed_ < kFailedBatches;
  is_in_doubt_ = !has_succeeded;
  num_failed_ = has_succeeded ? 0 : std::min(num_failed_ + 1, kFailedBatches);
  const bool is_healthy = num_failed_ < kFailedBatches;
  if (is_healthy != was_healthy && listener_ != nullptr) listener_(is_healthy);
}

void DeviceHealth::OnOutOfMemory() {
  absl::MutexLock lock(&mutex_);
  is_in_doubt_ = true;
}

bool DeviceHealth::is_in_doubt() const {
  absl::MutexLock lock(&mutex_);
  return is_in_doubt_;
}

void DeviceHealth::Watch(std::function<void(bool)> listener) {
  absl::MutexLock lock(&mutex_);
  listener_ = std::move(listener);
  if (listener_ != nullptr) listener_(num_failed_ < kFailedBatches);
}

}  // namespace prefscore
