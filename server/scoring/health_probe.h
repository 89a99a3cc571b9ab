// SPDX-License-Identifier: Apache-2.0
// Tells whether a device that failed computes again when nobody asks it to: a server that is not healthy gets no calls, so
// no call could show that it has recovered.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/scheduler.h"
#include "server/scoring/device_health.h"
#include "server/scoring/hosted_model.h"
#include "server/util/periodic_task.h"

namespace prefscore {

// As long as it lives, and while the device is in doubt, sends the smallest pass of all models together through the
// scheduler, one at a time, every `interval`. Owns a thread; the destructor waits for no pass. Arguments outlive it.
class HealthProbe {
 public:
  HealthProbe(Scheduler& scheduler, const DeviceHealth& health, const std::vector<HostedModel>& models,
              absl::Duration interval = absl::Seconds(5));

 private:
  void ProbeIfInDoubt();

  Scheduler& scheduler_;
  const DeviceHealth& health_;
  const std::vector<HostedModel>& models_;
  // Shared: the last probe's callback may outlive this.
  const std::shared_ptr<std::atomic<bool>> is_under_way_ = std::make_shared<std::atomic<bool>>(false);
  const PeriodicTask task_;
};

}  // namespace prefscore
