// SPDX-License-Identifier: Apache-2.0
// What the services of a server share. All of it outlives the server.
#pragma once

#include "server/config/config.h"
#include "server/metrics/metrics.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/scorer.h"

namespace prefscore {

struct ServiceContext {
  const ModelRegistry* registry;
  Scorer* scorer;
  Metrics* metrics;
  Limits limits;
};

// Names of all rpcs, as the metrics know them.
inline constexpr const char* kMethodNames[] = {"ScorePairs",     "StreamScorePairs", "ScoreCompletions",
                                               "EvaluateObjectives", "ListObjectives", "AnalyzePairs",
                                               "ListModels",     "GetModel"};

}  // namespace prefscore
