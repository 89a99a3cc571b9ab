// SPDX-License-Identifier: Apache-2.0
// What the services of a server share.
#pragma once

#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/metrics/metrics.h"
#include "server/rpc/access.h"
#include "server/rpc/call_log.h"
#include "server/rpc/open_calls.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/scorer.h"

namespace prefscore {

// All of it outlives the server.
struct ServiceContext {
  const ModelRegistry* registry;
  Scorer* scorer;
  Metrics* metrics;
  Logger* logger;
  CallLogOptions call_log = {};
  Limits limits;
  AccessRule access = {};
  std::int64_t max_pairs_per_stream = std::int64_t{1} << 32;  // of StreamScorePairs: their index is a uint32; tests set less
  OpenCalls* open_calls = nullptr;  // set by the server, which has its own
};

inline SchedulerOptions SchedulerOptionsOf(const Limits& limits) {
  return {.batch = {.max_tokens = limits.max_batch_tokens,
                    .max_bytes = limits.max_batch_bytes,
                    .max_seconds = 1e-3 * static_cast<double>(limits.max_batch_ms)},
          .admission = {.max_queued_tokens = limits.max_queued_tokens, .max_queued_bytes = limits.max_queued_bytes}};
}

// Names of all rpcs, as the metrics know them.
inline constexpr const char* kMethodNames[] = {"ScorePairs",     "StreamScorePairs", "ScoreCompletions",
                                               "EvaluateObjectives", "ListObjectives", "AnalyzePairs",
                                               "ListModels",     "GetModel",         "GetStatus",
                                               "SetLogLevel",    "ReloadTokens"};

// Names of all services, likewise; in health, too.
inline constexpr const char* kServiceNames[] = {"prefscore.v1.ScoringService", "prefscore.v1.DiagnosticsService",
                                                "prefscore.v1.ModelService"};

}  // namespace prefscore
