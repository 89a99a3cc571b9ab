// SPDX-License-Identifier: Apache-2.0
// From what the scorer found to results on the wire.
#pragma once

#include "absl/status/status.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/rpc/group_from_proto.h"
#include "server/scoring/call_report.h"
#include "server/scoring/scorer.h"
#include "server/scoring/types.h"

namespace prefscore {

struct ResultDetail {
  bool with_token_logps = false;
  bool with_token_ids = false;      // pairs only
  bool with_greedy_match = false;   // completions only
};

// Fills all of `result` but id and index. `outcome.status` is OK.
void PairToProto(const PairOutcome& outcome, const PairOptions& options, const PairOrigin& origin, ResultDetail detail,
                 v1::PairResult& result);

// Fills all of `result` but id and index. `outcome.status` is OK.
void CompletionsToProto(const GroupOutcome& outcome, const CompletionOptions& options, ResultDetail detail,
                        v1::PromptResult& result);

// `total` is the time of all, from the request's arrival on.
void TimingsToProto(const CallReport& report, absl::Duration total, v1::Timings& timings);

void IdentityToProto(const HostedModel& model, v1::ModelIdentity& identity);

}  // namespace prefscore
