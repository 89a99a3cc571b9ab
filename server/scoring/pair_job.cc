// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/pair_job.h"

#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scoring/completion_scores.h"
#include "server/scoring/prepare.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

constexpr const char* kLogpNames[2][2] = {{"policy_chosen_logp", "policy_rejected_logp"},
                                          {"reference_chosen_logp", "reference_rejected_logp"}};
constexpr const char* kCompletionNames[2] = {"chosen", "rejected"};

absl::Status CheckKnown(const KnownLogProbs& known) {
  for (int model = 0; model < 2; ++model) {
    for (int completion = 0; completion < 2; ++completion) {
      const std::optional<double>& logp = known[model][completion];
      if (logp.has_value() && (!std::isfinite(*logp) || *logp > 0)) {
        return FieldError(absl::StrCat("known.", kLogpNames[model][completion]),
                          absl::StrCat("is ", *logp, "; a log-probability must be finite and <= 0"));
      }
    }
  }
  return absl::OkStatus();
}

bool IsFullyKnown(const KnownLogProbs& known) {
  for (const auto& model : known) {
    for (const auto& logp : model) {
      if (!logp.has_value()) return false;
    }
  }
  return true;
}

// The part of a group that a model must compute: the completions whose log-prob is not known.
std::shared_ptr<const PromptGroup> Unknown(const std::shared_ptr<const PromptGroup>& group,
                                           const std::array<std::optional<double>, 2>& known) {
  if (!known[kChosen] && !known[kRejected]) return group;
  if (known[kChosen] && known[kRejected]) return nullptr;
  return std::make_shared<PromptGroup>(
      PromptGroup{group->prompt, {group->completions[known[kChosen] ? kRejected : kChosen]}});
}

void EvaluateAll(const std::vector<Objective>& objectives, PairOutcome& outcome) {
  outcome.margins = ComputeMargins(outcome.logps);
  for (const Objective& objective : objectives) outcome.objectives.push_back(Evaluate(objective, outcome.logps));
}

// `forwards` holds the policy's, then the reference's, where there are any.
void Assemble(const KnownLogProbs& known, std::vector<GroupForward>& forwards,
              const std::vector<Objective>& objectives, PairOutcome& outcome) {
  std::array<std::array<double, 2>, 2> logps{};
  auto forward = forwards.begin();
  for (int model = 0; model < 2; ++model) {
    const bool is_computed = !known[model][kChosen] || !known[model][kRejected];
    auto score = is_computed ? forward->scores.begin() : std::vector<CompletionScore>::iterator();
    for (int completion = 0; completion < 2; ++completion) {
      if (known[model][completion].has_value()) {
        logps[model][completion] = *known[model][completion];
        continue;
      }
      outcome.status.Update(CheckFinite(*score, absl::StrCat(forward->model->name, ", ", kCompletionNames[completion])));
      logps[model][completion] = score->logp;
      outcome.token_logps[model][completion] = std::move(score->token_logps);
      ++score;
    }
    if (is_computed) ++forward;
  }
  outcome.logps = {logps[0][kChosen], logps[0][kRejected], logps[1][kChosen], logps[1][kRejected]};
  if (outcome.status.ok()) EvaluateAll(objectives, outcome);
}

}  // namespace

std::shared_ptr<GroupJob> MakePairJob(const PairRequest& request, const PairOptions& options, PairOutcome& outcome) {
  outcome.status = CheckKnown(request.known);
  if (!outcome.status.ok()) return nullptr;
  auto job = std::make_shared<GroupJob>();
  if (IsFullyKnown(request.known)) {
    FinishPair(request, options, *job, outcome);
    return nullptr;
  }
  auto prepared = PreparePair(request.content, {{options.policy, options.reference}, options.profile, options.length});
  if (!prepared.ok()) {
    outcome.status = prepared.status();
    return nullptr;
  }
  outcome.prepared = *std::move(prepared);
  const auto group = std::make_shared<const PromptGroup>(outcome.prepared.ids);
  const std::array<const HostedModel*, 2> models = {options.policy, options.reference};
  for (int model = 0; model < 2; ++model) {
    if (auto unknown = Unknown(group, request.known[model])) {
      job->forwards.push_back({.model = models[model], .group = std::move(unknown), .scores = {}});
    }
  }
  return job;
}

void FinishPair(const PairRequest& request, const PairOptions& options, GroupJob& job, PairOutcome& outcome) {
  Assemble(request.known, job.forwards, options.objectives, outcome);
}

PairOutcome ScoreKnownPair(const PairLogProbs& logps, const std::vector<Objective>& objectives) {
  PairOutcome outcome;
  outcome.logps = logps;
  const KnownLogProbs known = {{{logps.policy_chosen_logp, logps.policy_rejected_logp},
                                {logps.reference_chosen_logp, logps.reference_rejected_logp}}};
  outcome.status = CheckKnown(known);
  if (outcome.status.ok()) EvaluateAll(objectives, outcome);
  return outcome;
}

}  // namespace prefscore
