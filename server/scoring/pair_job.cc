// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/pair_job.h"

#include <array>
#include <cmath>
#include <optional>
#include <string>
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

// The completions' names. The one that was not sent has the name of the one that stands in for it.
std::vector<std::string> NamesOfSent(const PairRequest& request) {
  return {kCompletionNames[request.is_sent[kChosen] ? kChosen : kRejected],
          kCompletionNames[request.is_sent[kRejected] ? kRejected : kChosen]};
}

// The models of the call, policy first.
std::vector<const HostedModel*> ModelsOf(const PairOptions& options) {
  if (options.reference == nullptr) return {options.policy};
  return {options.policy, options.reference};
}

bool IsFullyKnown(const std::array<std::optional<double>, 2>& known) { return known[kChosen] && known[kRejected]; }

// The part of a group that a model must compute: the completions whose log-prob is not known.
std::shared_ptr<const PromptGroup> Unknown(const std::shared_ptr<const PromptGroup>& group,
                                           const std::array<std::optional<double>, 2>& known) {
  if (!known[kChosen] && !known[kRejected]) return group;
  if (IsFullyKnown(known)) return nullptr;
  return std::make_shared<PromptGroup>(
      PromptGroup{group->prompt, {group->completions[known[kChosen] ? kRejected : kChosen]}});
}

// What objectives read of the pair, from known and computed log-probs. `forwards` holds the policy's, then the
// reference's, where there are any.
void Assemble(const PairRequest& request, std::size_t num_models, std::vector<GroupForward>& forwards,
              PairOutcome& outcome) {
  double logps[2][2] = {{kUnknown, kUnknown}, {kUnknown, kUnknown}};
  auto forward = forwards.begin();
  for (std::size_t model = 0; model < 2; ++model) {
    const auto& known = request.known[model];
    const bool is_computed = model < num_models && !IsFullyKnown(known);
    auto score = is_computed ? forward->scores.begin() : std::vector<CompletionScore>::iterator();
    for (const std::size_t completion : {kChosen, kRejected}) {
      if (known[completion].has_value()) {
        logps[model][completion] = *known[completion];
      } else if (is_computed) {
        outcome.status.Update(
            CheckFinite(*score, absl::StrCat(forward->model->name, ", ", kCompletionNames[completion])));
        logps[model][completion] = score->logp;
        outcome.is_from_cache[model][completion] = score->is_from_cache;
        outcome.token_logps[model][completion] = std::move(score->token_logps);
        ++score;
      }
    }
    if (is_computed) ++forward;
  }
  PairInputs& inputs = outcome.inputs;
  inputs.logps = {logps[0][kChosen], logps[0][kRejected], logps[1][kChosen], logps[1][kRejected]};
  inputs.score_gap = request.score_gap;
  inputs.head_logps = HeadLogProbs(outcome.token_logps, inputs.logps);
  if (outcome.ids == nullptr) return;
  const auto& completions = outcome.ids->completions;
  if (request.is_sent[kChosen]) inputs.num_chosen_tokens = static_cast<double>(completions[kChosen].size());
  if (request.is_sent[kRejected]) inputs.num_rejected_tokens = static_cast<double>(completions[kRejected].size());
}

}  // namespace

std::shared_ptr<GroupJob> MakePairJob(PairRequest& request, const PairOptions& options, PairOutcome& outcome) {
  outcome.status = CheckKnown(request.known);
  if (!outcome.status.ok()) return nullptr;
  auto job = std::make_shared<GroupJob>();
  job->cache_mode = options.cache_mode;
  const std::vector<const HostedModel*> models = ModelsOf(options);
  bool is_known = true;
  for (std::size_t model = 0; model < models.size(); ++model) is_known = is_known && IsFullyKnown(request.known[model]);
  if (is_known) {
    FinishPair(request, options, *job, outcome);
    return nullptr;
  }
  auto prepared = PreparePair(std::exchange(request.content, {}), NamesOfSent(request), {models, options.length});
  if (!prepared.ok()) {
    outcome.status = prepared.status();
    return nullptr;
  }
  const auto group = std::make_shared<const PromptGroup>(std::move(prepared->ids));
  outcome.ids = group;
  outcome.notes = std::move(prepared->notes);
  for (std::size_t model = 0; model < models.size(); ++model) {
    if (auto unknown = Unknown(group, request.known[model])) {
      job->forwards.push_back({.model = models[model],
                               .group = std::move(unknown),
                               .uses_cache = model == 1 || options.cache_policy,
                               .cache_keys = {},
                               .scores = {},
                               .pass = nullptr});
    }
  }
  return job;
}

void FinishPair(const PairRequest& request, const PairOptions& options, GroupJob& job, PairOutcome& outcome) {
  Assemble(request, ModelsOf(options).size(), job.forwards, outcome);
}

}  // namespace prefscore
