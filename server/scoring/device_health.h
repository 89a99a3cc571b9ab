// SPDX-License-Identifier: Apache-2.0
// Whether the device computes: not, once several batches in a row failed as a whole, until one succeeds. One failed batch
// may be the fault of what was asked, and one that memory did not do for mostly is; both put the device in doubt, which a
// probe settles (health_probe.h).
#pragma once

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefscore {

// Thread-safe.
class DeviceHealth {
 public:
  static constexpr int kFailedBatches = 3;  // in a row

  // has_succeeded: any job of the batch has.
  void OnBatch(bool has_succeeded);
  // No job of the batch fitted into memory, and none failed otherwise.
  void OnOutOfMemory();

  // Whether the last batch failed: a probe would tell more.
  bool is_in_doubt() const;

  // Calls `listener` now and whenever the answer changes, under a lock: once Watch has returned, the listener that was
  // there before is called no more. Null: nobody listens.
  void Watch(std::function<void(bool is_healthy)> listener);

 private:
  mutable absl::Mutex mutex_;
  int num_failed_ ABSL_GUARDED_BY(mutex_) = 0;  // batches since the last that succeeded
  bool is_in_doubt_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void(bool)> listener_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace prefscore
