// SPDX-License-Identifier: Apache-2.0
// Ties tokenizer, scheduler, models and objectives together: content in, scores out, asynchronously.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/access/quota.h"
#include "server/batching/scheduler.h"
#include "server/scoring/device_health.h"
#include "server/scoring/group_job.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/pass_runner.h"
#include "server/scoring/types.h"
#include "server/util/worker_pool.h"

namespace prefscore {

class LogProbCache;
struct ContentSize;
struct GroupJob;

struct ScorerOptions {
  SchedulerOptions scheduler;
  LogProbCache* cache = nullptr;  // outlives the scorer; null: everything is computed
  int num_tokenizer_threads = 2;
};

// What the scorer tells metrics; called from its threads, so implementations are thread-safe and quick.
struct ScorerObserver {
  SchedulerObserver scheduler;
  ForwardObserver on_forward = [](auto&) {};  // of passes that somebody asked for: no probes
  std::function<void(const HostedModel&)> on_out_of_memory = [](auto&) {};  // a pass did not fit
  // Tokens of a call that need not be computed since the cache had their log-probs.
  std::function<void(std::int64_t saved)> on_cached_tokens = [](auto) {};
};

// One rpc call; shared by its groups.
struct Call {
  Priority priority = Priority::kInteractive;
  absl::Time deadline = absl::InfiniteFuture();  // of SteadyNow
  std::shared_ptr<const Cancellation> cancellation = nullptr;  // null: cannot be cancelled
  // Where the queue is full, wait for room; otherwise the call is refused and told when to come again. For streams, which
  // bring one message at a time.
  bool waits_for_room = false;
  std::string caller = "";        // whose token; empty: there are none
  std::uint64_t fingerprint = 0;  // of the request, to know it again after a refusal; 0: none
  std::shared_ptr<Quota> quota = nullptr;  // what is computed for it is charged here; null: nowhere
};

// Which models score a call's pairs and how; the same for all pairs of a call.
struct PairOptions {
  const HostedModel* policy = nullptr;
  const HostedModel* reference = nullptr;  // null: no reference is run
  std::vector<Objective> objectives;
  TokenizationProfile profile = TokenizationProfile::kTrl;  // kIds: whoever reads content refuses text
  LengthOptions length;
  CacheMode cache_mode = CacheMode::kReadWrite;
  bool cache_policy = false;  // beside the reference's log-probs
};

struct CompletionOptions {
  std::vector<const HostedModel*> models;
  TokenizationProfile profile = TokenizationProfile::kTrl;  // kIds: whoever reads content refuses text
  LengthOptions length;
  CacheMode cache_mode = CacheMode::kReadWrite;
  const HostedModel* cached_model = nullptr;  // the only one that uses the cache; null: all do
};

// Thread-safe. An exception on one of its threads ends what it happened to, with INTERNAL. Owns the tokenizer threads and
// the scheduler with its threads; the destructor stops them. REQUIRES of it: no call is in progress (Drain first).
class Scorer {
 public:
  Scorer(ScorerOptions options, ScorerObserver observer);

  // Scores the pairs of a call. `done` is called exactly once: with a status that refuses the call as a whole
  // (RESOURCE_EXHAUSTED, UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED), or OK and one outcome per pair, in order; with a report in any case; before this
  // returns, where the call is refused at arrival, otherwise from one of the scorer's threads. Returns at once.
  void ScorePairs(std::vector<PairRequest> pairs, PairOptions options, Call call,
                  std::function<void(absl::Status, PairOutcomes)> done);

  // The same for prompts with N completions; each completion's boundary is its own.
  void ScoreCompletions(std::vector<GroupRequest> groups, CompletionOptions options, Call call,
                        std::function<void(absl::Status, GroupOutcomes)> done);

  // Calls with this cancellation end now, but for what is in flight. `quota`: theirs, where they wait for room.
  void Cancel(Cancellation& cancellation, Quota* quota = nullptr);

  Scheduler& scheduler() { return scheduler_; }
  DeviceHealth& device_health() { return device_health_; }

  // Stops admitting and waits for everything admitted, at most `grace`. Returns whether everything was done.
  bool Drain(absl::Duration grace);
  // Ends what is admitted, but for the batch in flight: see Scheduler.
  std::int64_t Abandon() { return scheduler_.Abandon(); }

 private:
  template <typename State, typename Prepare, typename Finish>
  void Run(std::shared_ptr<State> state, Prepare prepare, Finish finish);
  std::vector<PassTime> RunBatch(const std::vector<JobPtr>& jobs);
  template <typename State>
  absl::Status Submit(State& state, const std::function<void(std::size_t, absl::Status)>& finish_job);
  Arrival ArrivalOf(const Call& call, const std::vector<ContentSize>& sizes, std::size_t num_models) const;
  void LearnTokensPerByte(const std::vector<ContentSize>& sizes, std::size_t num_models, std::int64_t num_tokens);

  const ScorerObserver observer_;
  LogProbCache* const cache_;
  std::atomic<double> tokens_per_byte_{0.3};  // of recent text: what a call may bring before it is tokenised
  DeviceHealth device_health_;
  PassRunner pass_runner_;  // used by the scheduler's owner thread
  Scheduler scheduler_;
  WorkerPool tokenizer_pool_;
};

}  // namespace prefscore
