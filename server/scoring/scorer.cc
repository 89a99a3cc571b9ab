// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/scorer.h"

#include <atomic>
#include <utility>

#include "server/scoring/cached_scores.h"
#include "server/scoring/completions_job.h"
#include "server/scoring/evaluate_pairs.h"
#include "server/scoring/group_job.h"
#include "server/scoring/pair_job.h"

namespace prefscore {
namespace {

constexpr std::size_t kPreparedPerTask = 8;  // groups that one tokenizer task prepares: enough to keep all threads busy

// A status that ends the whole call: its groups have no fault of their own.
bool EndsCall(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsCancelled(status) || absl::IsUnavailable(status);
}

// One call in progress: its inputs, its outcomes and how many steps are left. `Request` and `Outcome` are a pair's or a
// prompt's.
template <typename Request, typename Outcome, typename Options>
struct CallState {
  using Done = std::function<void(absl::Status, std::vector<Outcome>)>;

  CallState(std::vector<Request> requests, Options options, Call call, Done done)
      : requests(std::move(requests)), options(std::move(options)), call(std::move(call)), done(std::move(done)) {}

  const std::vector<Request> requests;
  const Options options;
  const Call call;
  const Done done;

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
      cache_(options.cache),
      scheduler_(
          std::move(options.scheduler),
          [this](const std::vector<JobPtr>& jobs) { RunGroupJobs(jobs, observer_.on_forward, observer_.on_tokens); }, observer_.scheduler),
      tokenizer_pool_(options.num_tokenizer_threads) {}

// Prepares a call's requests on the tokenizer threads, submits their jobs together, finishes each as it is computed and
// the call when all are. `prepare(request, options, outcome)` returns the job, or null where the outcome is complete;
// `finish(request, options, job, outcome)` reads the job's scores.
template <typename State, typename Prepare, typename Finish>
void Scorer::Run(std::shared_ptr<State> state, Prepare prepare, Finish finish) {
  const std::size_t num_requests = state->requests.size();
  state->outcomes.resize(num_requests);
  state->jobs.resize(num_requests);
  state->num_unprepared = (num_requests + kPreparedPerTask - 1) / kPreparedPerTask;
  if (num_requests == 0) return state->Finish(absl::OkStatus());

  const auto finish_job = [this, state, finish](std::size_t idx, absl::Status status) {
    auto& outcome = state->outcomes[idx];
    outcome.status.Update(status);
    if (outcome.status.ok()) {
      if (cache_ != nullptr) WriteToCache(*cache_, *state->jobs[idx]);
      finish(state->requests[idx], state->options, *state->jobs[idx], outcome);
    }
    if (--state->num_unfinished > 0) return;
    for (const auto& each : state->outcomes) {
      if (EndsCall(each.status)) return state->Finish(each.status);
    }
    state->Finish(absl::OkStatus());
  };

  const auto submit = [this, state, finish, finish_job] {
    if (cache_ != nullptr) observer_.on_cached_tokens(ReadFromCache(*cache_, state->jobs));
    std::vector<JobPtr> jobs;
    for (std::size_t idx = 0; idx < state->jobs.size(); ++idx) {
      const auto& job = state->jobs[idx];
      if (job == nullptr) continue;
      job->CountTokens();
      if (job->num_tokens == 0) {  // all of it was cached
        finish(state->requests[idx], state->options, *job, state->outcomes[idx]);
        continue;
      }
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
        state->jobs[idx] = prepare(state->requests[idx], state->options, state->outcomes[idx]);
      }
      if (--state->num_unprepared == 0) submit();
    });
  }
}

void Scorer::ScorePairs(std::vector<PairRequest> pairs, PairOptions options, Call call,
                        std::function<void(absl::Status, PairOutcomes)> done) {
  using State = CallState<PairRequest, PairOutcome, PairOptions>;
  auto evaluate = [objectives = options.objectives, done = std::move(done)](absl::Status status,
                                                                           std::vector<PairOutcome> outcomes) {
    PairOutcomes all{.pairs = std::move(outcomes), .batch_states = {}};
    if (status.ok()) all.batch_states = EvaluateObjectives(objectives, all.pairs);
    done(std::move(status), std::move(all));
  };
  Run(std::make_shared<State>(std::move(pairs), std::move(options), std::move(call), std::move(evaluate)), MakePairJob,
      FinishPair);
}

void Scorer::ScoreCompletions(std::vector<GroupRequest> groups, CompletionOptions options, Call call,
                              std::function<void(absl::Status, std::vector<GroupOutcome>)> done) {
  using State = CallState<GroupRequest, GroupOutcome, CompletionOptions>;
  Run(std::make_shared<State>(std::move(groups), std::move(options), std::move(call), std::move(done)),
      MakeCompletionsJob, FinishCompletions);
}

bool Scorer::Drain(absl::Duration grace) { return scheduler_.Drain(grace); }

}  // namespace prefscore
