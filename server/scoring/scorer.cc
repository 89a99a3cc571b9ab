// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/scorer.h"

#include <atomic>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/scoring/completion_scores.h"
#include "server/scoring/group_job.h"
#include "server/scoring/prepare.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

constexpr std::size_t kPreparedPerTask = 8;  // groups that one tokenizer task prepares: enough to keep all threads busy

constexpr const char* kLogpNames[2][2] = {{"policy_chosen_logp", "policy_rejected_logp"},
                                          {"reference_chosen_logp", "reference_rejected_logp"}};
constexpr const char* kCompletionNames[2] = {"chosen", "rejected"};

// A status that ends the whole call: its groups have no fault of their own.
bool EndsCall(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsCancelled(status) || absl::IsUnavailable(status);
}

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

// Puts known and computed log-probs together. `forwards` holds the policy's, then the reference's, where there are any.
void FinishPair(const KnownLogProbs& known, std::vector<GroupForward>& forwards,
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

// Completions whose prompts have the same ids go into one group, which computes the prompt once.
std::vector<std::shared_ptr<const PromptGroup>> MergeEqualPrompts(const std::vector<PreparedGroup>& singles,
                                                                  std::vector<GroupJob::Location>& locations) {
  std::vector<std::shared_ptr<PromptGroup>> groups;
  std::map<TokenIds, std::size_t> index_of_prompt;
  for (const PreparedGroup& single : singles) {
    const auto [entry, is_new] = index_of_prompt.try_emplace(single.ids.prompt, groups.size());
    if (is_new) groups.push_back(std::make_shared<PromptGroup>(PromptGroup{single.ids.prompt, {}}));
    PromptGroup& group = *groups[entry->second];
    locations.push_back({.prompt_idx = entry->second, .completion_idx = group.completions.size()});
    group.completions.push_back(single.ids.completions.front());
  }
  return {groups.begin(), groups.end()};
}

// One call in progress: its inputs, its outcomes and how many steps are left. `Request` and `Outcome` are a pair's or a
// prompt's.
template <typename Request, typename Outcome, typename Options>
struct CallState {
  std::vector<Request> requests;
  Options options;
  Call call;
  std::function<void(absl::Status, std::vector<Outcome>)> done;

  std::vector<Outcome> outcomes;                 // [requests]
  std::vector<std::shared_ptr<GroupJob>> jobs;   // [requests]; null where there is nothing to compute
  std::atomic<std::size_t> num_unprepared{0};    // tokenizer tasks
  std::atomic<std::size_t> num_unfinished{0};    // jobs

  // Ends the call. The jobs' callbacks hold this state: they are let go here, so that neither outlives the call.
  void Finish(absl::Status status) {
    jobs.clear();
    done(status, status.ok() ? std::move(outcomes) : std::vector<Outcome>());
  }
};

}  // namespace

Scorer::Scorer(ScorerOptions options, ScorerObserver observer)
    : observer_(std::move(observer)),
      scheduler_(
          std::move(options.scheduler),
          [this](const std::vector<JobPtr>& jobs) { RunGroupJobs(jobs, observer_.on_forward); }, observer_.scheduler),
      tokenizer_pool_(options.num_tokenizer_threads) {}

// Prepares a call's requests on the tokenizer threads, submits their jobs together, finishes each as it is computed and
// the call when all are. `prepare(request, outcome)` returns the job or null; `finish(request, job, outcome)` reads it.
template <typename State, typename Prepare, typename Finish>
void Scorer::Run(std::shared_ptr<State> state, Prepare prepare, Finish finish) {
  const std::size_t num_requests = state->requests.size();
  state->outcomes.resize(num_requests);
  state->jobs.resize(num_requests);
  state->num_unprepared = (num_requests + kPreparedPerTask - 1) / kPreparedPerTask;
  if (num_requests == 0) return state->Finish(absl::OkStatus());

  const auto finish_job = [this, state, finish](std::size_t idx, absl::Status status) {
    auto& outcome = state->outcomes[idx];
    outcome.timings.queue = state->jobs[idx]->queue_delay;
    outcome.status.Update(status);
    if (outcome.status.ok()) {
      CountTokens(*state->jobs[idx]);
      finish(state->requests[idx], *state->jobs[idx], outcome);
    }
    if (--state->num_unfinished > 0) return;
    for (const auto& each : state->outcomes) {
      if (EndsCall(each.status)) return state->Finish(each.status);
    }
    state->Finish(absl::OkStatus());
  };

  const auto submit = [this, state, finish_job] {
    std::vector<JobPtr> jobs;
    for (std::size_t idx = 0; idx < state->jobs.size(); ++idx) {
      const auto& job = state->jobs[idx];
      if (job == nullptr) continue;
      job->CountTokens();
      job->deadline = state->call.deadline;
      job->is_cancelled = state->call.is_cancelled;
      job->done = [finish_job, idx](absl::Status status) { finish_job(idx, std::move(status)); };
      jobs.push_back(job);
    }
    if (jobs.empty()) return state->Finish(absl::OkStatus());
    state->num_unfinished = jobs.size();
    const absl::Status status = scheduler_.Submit(std::move(jobs), state->call.admission);
    if (!status.ok()) state->Finish(status);
  };

  for (std::size_t begin = 0; begin < num_requests; begin += kPreparedPerTask) {
    tokenizer_pool_.Post([state, begin, num_requests, prepare, submit] {
      for (std::size_t idx = begin; idx < std::min(begin + kPreparedPerTask, num_requests); ++idx) {
        const absl::Time start = absl::Now();
        state->jobs[idx] = prepare(state->requests[idx], state->outcomes[idx]);
        state->outcomes[idx].timings.tokenization = absl::Now() - start;
      }
      if (--state->num_unprepared == 0) submit();
    });
  }
}

void Scorer::CountTokens(const GroupJob& job) {
  for (const GroupForward& forward : job.forwards) {
    const auto num_completions = static_cast<std::int64_t>(forward.group->completions.size());
    observer_.on_tokens(forward.group->num_tokens(),
                        (num_completions - 1) * static_cast<std::int64_t>(forward.group->prompt.size()));
  }
}

void Scorer::ScorePairs(std::vector<PairRequest> pairs, PairOptions options, Call call,
                        std::function<void(absl::Status, std::vector<PairOutcome>)> done) {
  using State = CallState<PairRequest, PairOutcome, PairOptions>;
  auto state = std::make_shared<State>();
  state->requests = std::move(pairs);
  state->options = std::move(options);
  state->call = std::move(call);
  state->done = std::move(done);
  const PairOptions& shared = state->options;

  Run(
      state,
      [&shared](const PairRequest& request, PairOutcome& outcome) -> std::shared_ptr<GroupJob> {
        outcome.status = CheckKnown(request.known);
        if (!outcome.status.ok()) return nullptr;
        if (IsFullyKnown(request.known)) {
          std::vector<GroupForward> none;
          FinishPair(request.known, none, shared.objectives, outcome);
          return nullptr;
        }
        auto prepared = PreparePair(request.content, {{shared.policy, shared.reference}, shared.profile, shared.length});
        if (!prepared.ok()) {
          outcome.status = prepared.status();
          return nullptr;
        }
        outcome.prepared = *std::move(prepared);
        const auto group = std::make_shared<const PromptGroup>(outcome.prepared.ids);
        auto job = std::make_shared<GroupJob>();
        const std::array<const HostedModel*, 2> models = {shared.policy, shared.reference};
        for (int model = 0; model < 2; ++model) {
          if (auto unknown = Unknown(group, request.known[model])) {
            job->forwards.push_back({.model = models[model], .group = std::move(unknown), .scores = {}});
          }
        }
        return job;
      },
      [&shared](const PairRequest& request, GroupJob& job, PairOutcome& outcome) {
        FinishPair(request.known, job.forwards, shared.objectives, outcome);
      });
}

void Scorer::ScoreCompletions(std::vector<GroupRequest> groups, CompletionOptions options, Call call,
                              std::function<void(absl::Status, std::vector<GroupOutcome>)> done) {
  using State = CallState<GroupRequest, GroupOutcome, CompletionOptions>;
  auto state = std::make_shared<State>();
  state->requests = std::move(groups);
  state->options = std::move(options);
  state->call = std::move(call);
  state->done = std::move(done);
  const CompletionOptions& shared = state->options;

  Run(
      state,
      [&shared](const GroupRequest& request, GroupOutcome& outcome) -> std::shared_ptr<GroupJob> {
        auto prepared = PrepareCompletions(request.content, {shared.models, shared.profile, shared.length});
        if (!prepared.ok()) {
          outcome.status = prepared.status();
          return nullptr;
        }
        outcome.prepared = *std::move(prepared);
        auto job = std::make_shared<GroupJob>();
        const auto groups_by_prompt = MergeEqualPrompts(outcome.prepared, job->locations);
        for (const HostedModel* model : shared.models) {
          for (const auto& group : groups_by_prompt) {
            job->forwards.push_back({.model = model, .group = group, .scores = {}});
          }
        }
        return job;
      },
      [&shared](const GroupRequest&, GroupJob& job, GroupOutcome& outcome) {
        const std::size_t num_prompts = job.forwards.size() / shared.models.size();
        for (std::size_t model_idx = 0; model_idx < shared.models.size(); ++model_idx) {
          auto& scores = outcome.scores.emplace_back();
          for (const GroupJob::Location& location : job.locations) {
            GroupForward& forward = job.forwards[model_idx * num_prompts + location.prompt_idx];
            scores.push_back(std::move(forward.scores[location.completion_idx]));
            outcome.status.Update(CheckFinite(
                scores.back(), absl::StrCat(forward.model->name, ", completions[", scores.size() - 1, "]")));
          }
        }
      });
}

bool Scorer::Drain(absl::Duration grace) { return scheduler_.Drain(grace); }

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
