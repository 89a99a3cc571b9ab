// SPDX-License-Identifier: Apache-2.0
// How the server ends.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace CLI {
class App;
}

namespace prefscore {

struct ShutdownOptions {
  double delay_seconds = 0;   // between health NOT_SERVING and the first refusal
  double grace_seconds = 30;  // how long admitted work may take to finish, from then on

  absl::Duration delay() const { return absl::Seconds(delay_seconds); }
  absl::Duration grace() const { return absl::Seconds(grace_seconds); }
};

void AddOptions(CLI::App& app, ShutdownOptions& options);
absl::Status CheckOptions(const ShutdownOptions& options);

}  // namespace prefscore
