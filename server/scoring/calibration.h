// SPDX-License-Identifier: Apache-2.0
// What a forward pass of each model costs on this machine, measured once after start.
//
// Synthetic groups go through the scheduler as probes of the bulk class, one at a time: real work goes first, and waits
// for one probe at most. The shapes grow until the time is used up, so a large model sees few and small ones.
#pragma once

#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/scheduler.h"
#include "server/scoring/hosted_model.h"

namespace prefscore {

struct CalibrationOptions {
  absl::Duration budget = absl::Milliseconds(500);  // of all models; the three smallest shapes are measured in any case
  // Called on the scheduler's completion thread.
  std::function<void(const HostedModel&, const CostCoefficients&)> on_fitted = [](auto&, auto&) {};
};

// Returns at once; ends early where the scheduler stops admitting. `models` outlive the scheduler. Models with the same
// weights are measured once; one that fails at a shape is measured by those before it.
void Calibrate(Scheduler& scheduler, const std::vector<HostedModel>& models, CalibrationOptions options);

}  // namespace prefscore
