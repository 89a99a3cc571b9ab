// SPDX-License-Identifier: Apache-2.0
// The end of one pair or prompt of an accepted call that models were to score: its result or its fault on the wire, and
// the count of it, both here. What only brings log-probs is scored by nobody and counted nowhere.
#pragma once

#include <cmath>
#include <optional>

#include "absl/status/status.h"
#include "server/metrics/metrics.h"
#include "server/rpc/result_to_proto.h"
#include "server/rpc/status_map.h"

namespace prefscore {

inline void CountFailed(const absl::Status& status, Metrics& metrics) {
  metrics.OnPairFailed(ToRpcStatus(status).code());
}

inline void FailPair(const absl::Status& status, Metrics& metrics, v1::PairResult& result) {
  *result.mutable_status() = ToRpcStatus(status);
  CountFailed(status, metrics);
}

inline void FailPrompt(const absl::Status& status, Metrics& metrics, v1::PromptResult& result) {
  *result.mutable_status() = ToRpcStatus(status);
  metrics.OnPromptFailed(result.status().code());
}

inline void CountScored(const PairOutcome& outcome, const PairOptions& options, Metrics& metrics) {
  const PairMargins margins = ComputeMargins(outcome.inputs.logps);
  const ObjectiveValue& first = outcome.objectives.front();
  ScoredPair pair = {.policy = options.policy->name,
                     .reference = options.reference != nullptr ? options.reference->name : "",
                     .policy_margin = margins.policy_margin,
                     .reward_margin = first.chosen_reward - first.rejected_reward,
                     .against_reference = std::nullopt};
  if (!std::isnan(margins.reference_margin)) {
    pair.against_reference = {.margin = margins.reference_margin,
                              .chosen_logratio = margins.chosen_logratio,
                              .rejected_logratio = margins.rejected_logratio};
  }
  metrics.OnPairScored(pair);
}

inline void AnswerPair(const PairOutcome& outcome, const PairOptions& options, const PairOrigin& origin,
                       ResultDetail detail, Metrics& metrics, v1::PairResult& result) {
  if (!outcome.status.ok()) return FailPair(outcome.status, metrics, result);
  PairToProto(outcome, options, origin, detail, result);
  CountScored(outcome, options, metrics);
}

inline void AnswerPrompt(const GroupOutcome& outcome, const CompletionOptions& options, ResultDetail detail,
                         Metrics& metrics, v1::PromptResult& result) {
  if (!outcome.status.ok()) return FailPrompt(outcome.status, metrics, result);
  CompletionsToProto(outcome, options, detail, result);
  metrics.OnPromptScored();
}

}  // namespace prefscore
