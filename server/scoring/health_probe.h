// SPDX-License-Identifier: Apache-2.0
// Tells whether a device that failed computes again when nobody asks it to: a server that is not healthy gets no calls, so
// no call could show that it has recovered.
#pragma once

#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/batching/scheduler.h"
#include "server/scoring/device_health.h"
#include "server/scoring/hosted_model.h"

namespace prefscore {

// As long as it lives, and while the device is in doubt, sends the smallest pass of all models together through the
// scheduler, one at a time, every `interval`. Owns a thread; the destructor waits for no pass. Arguments outlive it.
class HealthProbe {
 public:
  HealthProbe(Scheduler& scheduler, const DeviceHealth& health, const std::vector<HostedModel>& models,
              absl::Duration interval = absl::Seconds(5));
  ~HealthProbe();

 private:
  void Loop();

  Scheduler& scheduler_;
  const DeviceHealth& health_;
  const std::vector<HostedModel>& models_;
  const absl::Duration interval_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace prefscore
