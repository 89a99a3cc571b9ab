// SPDX-License-Identifier: Apache-2.0
// The tokens of a server, from its token file.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/access/token_store.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/metrics/metrics.h"
#include "server/util/periodic_task.h"

namespace prefscore {

// The tokens of a file, followed as it changes.
struct GuardedAccess {
  std::unique_ptr<TokenStore> tokens;  // null where there is no file
  std::unique_ptr<PeriodicTask> reload;
};

absl::StatusOr<GuardedAccess> OpenTokens(const AccessOptions& options, Metrics& metrics, Logger& logger);

}  // namespace prefscore
