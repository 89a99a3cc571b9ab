// SPDX-License-Identifier: Apache-2.0
#include "server/startup/open_tokens.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore {

constexpr absl::Duration kTokenFileLookPeriod = absl::Seconds(2);

absl::StatusOr<GuardedAccess> OpenTokens(const AccessOptions& options, Metrics& metrics, Logger& logger) {
  GuardedAccess access;
  if (options.token_file.empty()) return access;
  AccessObserver observer = metrics.access().Observer();
  const auto log_at = [&logger](LogLevel level) {
    return [level, &logger](const std::string& line) { logger.Log(level, absl::StrCat("tokens: ", line)); };
  };
  observer.on_note = log_at(LogLevel::kInfo);
  observer.on_warning = log_at(LogLevel::kWarning);
  ASSIGN_OR_RETURN(access.tokens, TokenStore::Load(options.token_file, std::move(observer)));
  access.reload = std::make_unique<PeriodicTask>(kTokenFileLookPeriod,
                                                 [&tokens = *access.tokens] { tokens.ReloadIfChanged(); });
  return access;
}

}  // namespace prefscore
