// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/scorer.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scoring/cached_scores.h"
#include "server/scoring/completions_job.h"
#include "server/scoring/evaluate_pairs.h"
#include "server/scoring/group_job.h"
#include "server/scoring/job_cost.h"
#include "server/scoring/pair_job.h"

namespace prefscore {
namespace {

constexpr double kTokensPerByteMemory = 0.95;    // what a call leaves of the weight of those before it
constexpr std::size_t kPreparedPerTask = 8;  // groups that one tokenizer task prepares: enough to keep all threads busy

// A status that ends the whole call: its groups have no fault of their own.
bool EndsCall(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsCancelled(status) || absl::IsUnavailable(status);
}

std::size_t NumModels(const PairOptions& options) { return options.reference == nullptr ? 1 : 2; }
std::size_t NumModels(const CompletionOptions& options) { return options.models.size(); }

// Runs `work`; an exception becomes INTERNAL.
template <typename Work>
absl::Status CatchExceptions(const char* what, const Work& work) try {
  work();
  return absl::OkStatus();
} catch (const std::exception& error) {
  return absl::InternalError(absl::StrCat(what, " failed: ", error.what()));
}

// One call in progress: its inputs, its outcomes and how many steps are left. `Request` and `Outcome` are a pair's or a
// prompt's.
template <typename Request, typename Outcome, typename Options>
struct CallState {
  using Done = std::function<void(absl::Status, std::vector<Outcome>, CallReport)>;

  CallState(std::vector<Request> requests, Options options, Call call, Done done)
      : requests(std::move(requests)), options(std::move(options)), call(std::move(call)), done(std::move(done)) {}

  std::vector<Request> requests;  // their content is gone once they are prepared
  const Options options;
  const Call call;
  const Done done;

  CallClock clock;
  Ticket ticket;                                 // until the jobs are submitted
  QuotaCharge charge;
  std::vector<ContentSize> sizes;                // [requests]
  std::vector<Outcome> outcomes;                 // [requests]
  std::vector<std::shared_ptr<GroupJob>> jobs;   // [requests]; null where there is nothing to compute
  std::atomic<std::size_t> num_unprepared{0};    // tokenizer tasks
  std::atomic<std::size_t> num_unfinished{0};    // jobs

  // Ends the call. The jobs' callbacks hold this state: they are let go here, so that neither outlives the call.
  void Finish(absl::Status status) {
    CallReport report = clock.Report(jobs);
    jobs.clear();
    ticket = {};
    charge = {};
    done(status, status.ok() ? std::move(outcomes) : std::vector<Outcome>(), std::move(report));
  }
};

}  // namespace

Scorer::Scorer(ScorerOptions options, ScorerObserver observer)
    : observer_(std::move(observer)),
      cache_(options.cache),
      pass_runner_({.on_out_of_memory = [this](const HostedModel& model, auto) { observer_.on_out_of_memory(model); }}),
      scheduler_(
          std::move(options.scheduler),
          [this](const std::vector<JobPtr>& jobs) { return RunBatch(jobs); }, observer_.scheduler),
      tokenizer_pool_(options.num_tokenizer_threads) {}

std::vector<PassTime> Scorer::RunBatch(const std::vector<JobPtr>& jobs) {
  std::vector<PassTime> passes;
  const bool is_reported = !jobs.front()->is_probe;
  RunGroupJobs(jobs, pass_runner_, [&](const ForwardReport& report) {
    const double seconds = absl::ToDoubleSeconds(report.duration);
    if (!report.was_split) passes.push_back({report.model.lm.get(), report.work, seconds});
    if (is_reported) observer_.on_forward(report);
  });
  const auto any_is = [&](auto predicate) { return std::any_of(jobs.begin(), jobs.end(), predicate); };
  const bool has_succeeded = any_is([](const JobPtr& job) { return job->status.ok(); });
  const bool has_fault = any_is([](const JobPtr& job) { return !absl::IsResourceExhausted(job->status); });
  // A probe is so small that memory which does not do for it does for nothing.
  if (has_succeeded || has_fault || !is_reported) {
    device_health_.OnBatch(has_succeeded);
  } else {
    device_health_.OnOutOfMemory();
  }
  return passes;
}

// What the call may make the queue hold: exact for ids, by recent text for text.
Arrival Scorer::ArrivalOf(const Call& call, const std::vector<ContentSize>& sizes, std::size_t num_models) const {
  QueueLoad load;
  double num_tokens = 0;
  for (const ContentSize& size : sizes) {
    num_tokens += static_cast<double>(size.num_ids) + tokens_per_byte_ * static_cast<double>(size.num_text_bytes);
    load.num_bytes += size.num_bytes;
  }
  load.num_tokens = static_cast<std::int64_t>(num_tokens * static_cast<double>(num_models));
  return {.entrant = {.priority = call.priority,
                      .call = {call.caller, call.fingerprint},
                      .waits_for_room = call.waits_for_room},
          .load = load,
          .deadline = call.deadline,
          .cancellation = call.cancellation};
}

void Scorer::LearnTokensPerByte(const std::vector<ContentSize>& sizes, std::size_t num_models,
                                std::int64_t num_tokens) {
  double num_text_bytes = 0;
  for (const ContentSize& size : sizes) {
    if (size.num_ids > 0) return;  // which tokens came from text is not known
    num_text_bytes += static_cast<double>(size.num_text_bytes);
  }
  if (num_text_bytes == 0) return;
  const double newest = static_cast<double>(num_tokens) / static_cast<double>(num_models) / num_text_bytes;
  tokens_per_byte_ = kTokensPerByteMemory * tokens_per_byte_ + (1 - kTokensPerByteMemory) * newest;
}

// Submits the call's jobs together. Not OK: none will be done.
template <typename State>
absl::Status Scorer::Submit(State& state, const std::function<void(std::size_t, absl::Status)>& finish_job) {
  std::vector<JobPtr> jobs;
  std::int64_t num_tokens = 0;
  std::int64_t num_tokens_to_compute = 0;
  for (std::size_t idx = 0; idx < state.jobs.size(); ++idx) {
    const auto& job = state.jobs[idx];
    if (job == nullptr) continue;
    for (const GroupForward& forward : job->forwards) num_tokens += forward.group->num_tokens();
    if (job->num_tokens == 0) continue;  // all of it was cached
    num_tokens_to_compute += job->num_tokens;
    job->priority = state.call.priority;
    job->deadline = state.call.deadline;
    job->cancellation = state.call.cancellation;
    job->done = [finish_job, idx](absl::Status status) { finish_job(idx, std::move(status)); };
    jobs.push_back(job);
  }
  LearnTokensPerByte(state.sizes, NumModels(state.options), num_tokens);
  state.num_unfinished = jobs.size();
  state.charge.Correct(num_tokens_to_compute);  // before: a submitted call may end at once
  absl::Status status = scheduler_.Submit(std::move(state.ticket), std::move(jobs));
  if (!status.ok()) state.charge.Refund();
  return status;
}

// Lets a call in, prepares its requests on the tokenizer threads, submits their jobs together, finishes each as it is
// computed and the call when all are. `prepare(request, options, outcome)` returns the job, or null where the outcome is
// complete; `finish(request, options, job, outcome)` reads the job's scores.
template <typename State, typename Prepare, typename Finish>
void Scorer::Run(std::shared_ptr<State> state, Prepare prepare, Finish finish) {
  const std::size_t num_requests = state->requests.size();
  state->outcomes.resize(num_requests);
  state->jobs.resize(num_requests);
  state->num_unprepared = (num_requests + kPreparedPerTask - 1) / kPreparedPerTask;
  if (num_requests == 0) return state->Finish(absl::OkStatus());
  for (const auto& request : state->requests) state->sizes.push_back(SizeOf(request.content));

  const auto finish_job = [this, state, finish](std::size_t idx, absl::Status status) {
    auto& outcome = state->outcomes[idx];
    outcome.status.Update(status);
    if (outcome.status.ok()) {
      outcome.status.Update(CatchExceptions("reading the scores", [&] {
        if (cache_ != nullptr) WriteToCache(*cache_, *state->jobs[idx]);
        finish(state->requests[idx], state->options, *state->jobs[idx], outcome);
      }));
    }
    if (--state->num_unfinished > 0) return;
    for (const auto& each : state->outcomes) {
      if (EndsCall(each.status)) return state->Finish(each.status);
    }
    state->Finish(absl::OkStatus());
  };

  const auto is_cancelled = [state] {
    return state->call.cancellation != nullptr && state->call.cancellation->is_cancelled();
  };

  const auto submit = [this, state, finish, finish_job, is_cancelled] {
    if (is_cancelled()) return state->Finish(absl::CancelledError("the call was cancelled before it was queued"));
    state->clock.OnPrepared();
    bool is_complete = true;
    const absl::Status fault = CatchExceptions("reading the cache", [&] {
      if (cache_ != nullptr) {
        const std::int64_t num_cached_tokens = ReadFromCache(*cache_, state->jobs);
        state->clock.OnCacheRead(num_cached_tokens);
        observer_.on_cached_tokens(num_cached_tokens);
      }
      for (std::size_t idx = 0; idx < state->jobs.size(); ++idx) {
        const auto& job = state->jobs[idx];
        if (job == nullptr) continue;
        SetCost(*job);
        if (job->num_tokens > 0) {
          is_complete = false;
        } else {  // all of it was cached
          finish(state->requests[idx], state->options, *job, state->outcomes[idx]);
        }
      }
    });
    if (!fault.ok()) {
      state->charge.Refund();
      return state->Finish(fault);
    }
    if (is_complete) state->charge.Correct(0);
    const absl::Status status = is_complete ? absl::OkStatus() : Submit(*state, finish_job);
    if (is_complete || !status.ok()) state->Finish(status);
  };

  const auto start = [this, state, num_requests, prepare, submit, is_cancelled](absl::StatusOr<Ticket> ticket) {
    if (!ticket.ok()) {
      state->charge.Refund();
      return state->Finish(ticket.status());
    }
    state->clock.OnAdmitted();
    state->ticket = *std::move(ticket);
    for (std::size_t begin = 0; begin < num_requests; begin += kPreparedPerTask) {
      tokenizer_pool_.Post([state, begin, num_requests, prepare, submit, is_cancelled] {
        const std::size_t end = std::min(begin + kPreparedPerTask, num_requests);
        for (std::size_t idx = begin; idx < end && !is_cancelled(); ++idx) {
          const absl::Status fault = CatchExceptions("reading the content", [&] {
            state->jobs[idx] = prepare(state->requests[idx], state->options, state->outcomes[idx]);
          });
          if (!fault.ok()) state->outcomes[idx].status = fault;
        }
        if (--state->num_unprepared == 0) submit();
      });
    }
  };
  Arrival arrival = ArrivalOf(state->call, state->sizes, NumModels(state->options));
  Quota* const quota = state->call.quota.get();
  if (quota != nullptr && state->call.waits_for_room) {
    const absl::Status status = quota->TakeInTurn(
        {.num_tokens = arrival.load.num_tokens,
         .num_bytes = arrival.load.num_bytes,
         .is_over = is_cancelled,
         .on_its_turn = [this, state, arrival, start](QuotaCharge charge) {
           state->charge = std::move(charge);
           // On a thread of its own: who makes room may hold the lock of a stream, which a refusal would take.
           tokenizer_pool_.Post([this, arrival, start] { scheduler_.Admit(arrival, start); });
         }});
    if (!status.ok()) state->Finish(status);
    return;
  }
  if (quota != nullptr) {
    auto charge = quota->Take(arrival.load.num_tokens);
    if (!charge.ok()) return state->Finish(charge.status());
    state->charge = *std::move(charge);
  }
  scheduler_.Admit(std::move(arrival), start);
}

void Scorer::ScorePairs(std::vector<PairRequest> pairs, PairOptions options, Call call,
                        std::function<void(absl::Status, PairOutcomes)> done) {
  using State = CallState<PairRequest, PairOutcome, PairOptions>;
  auto evaluate = [objectives = options.objectives, done = std::move(done)](absl::Status status,
                                                                           std::vector<PairOutcome> outcomes,
                                                                           CallReport report) {
    PairOutcomes all{.pairs = std::move(outcomes), .batch_states = {}, .report = std::move(report)};
    if (status.ok()) {
      status = CatchExceptions("evaluating the objectives",
                               [&] { all.batch_states = EvaluateObjectives(objectives, all.pairs); });
    }
    if (!status.ok()) all.pairs.clear();
    done(std::move(status), std::move(all));
  };
  Run(std::make_shared<State>(std::move(pairs), std::move(options), std::move(call), std::move(evaluate)), MakePairJob,
      FinishPair);
}

void Scorer::ScoreCompletions(std::vector<GroupRequest> groups, CompletionOptions options, Call call,
                              std::function<void(absl::Status, GroupOutcomes)> done) {
  using State = CallState<GroupRequest, GroupOutcome, CompletionOptions>;
  auto gather = [done = std::move(done)](absl::Status status, std::vector<GroupOutcome> outcomes, CallReport report) {
    done(std::move(status), {.prompts = std::move(outcomes), .report = std::move(report)});
  };
  Run(std::make_shared<State>(std::move(groups), std::move(options), std::move(call), std::move(gather)),
      MakeCompletionsJob, FinishCompletions);
}

void Scorer::Cancel(Cancellation& cancellation, Quota* quota) {
  scheduler_.Cancel(cancellation);
  if (quota != nullptr) quota->EndTurns();
}

bool Scorer::Drain(absl::Duration grace) { return scheduler_.Drain(grace); }

}  // namespace prefscore
