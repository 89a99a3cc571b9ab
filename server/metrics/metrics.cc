// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/metrics.h"

#include <algorithm>

#include "server/config/config.h"
#include "server/metrics/families.h"

namespace prefscore {
namespace {

using Labels = std::map<std::string, std::string>;
using Buckets = prometheus::Histogram::BucketBoundaries;

constexpr const char* kCodeNames[] = {
    "OK",           "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",  "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",  "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL",      "UNAVAILABLE",       "DATA_LOSS",         "UNAUTHENTICATED"};
constexpr int kNumCodes = 17;
constexpr int kOutOfRange = 11;

// From a cached scrape to the longest call that a client plausibly waits for, seconds.
const Buckets kDurationBuckets = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                  1,     2.5,    5,     10,   25,    50,   100};
const Buckets kByteBuckets = {1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30};
const Buckets kTokenBuckets = {16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536};
// Margins have a sign, so the histogram's _sum may fall: read its buckets, never rate(_sum).
const Buckets kModelMarginBuckets = {-200, -100, -50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100, 200};
// None at 0, where a policy that is its reference has all its pairs.
const Buckets kLogRatioBuckets = {-200, -100, -50, -20, -10, -5, -2, -1, -0.1, 0.1, 1, 2, 5, 10, 20, 50, 100, 200};
const Buckets kMarginBuckets = {-20, -10, -5, -2, -1, -0.5, -0.2, -0.1, 0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20};

constexpr const char* kCostTerms[] = {"token", "attended_position", "head_row", "forward"};

// How a model ranks a pair by its margin.
constexpr const char* kRankings[] = {"right", "tie", "wrong"};

std::size_t RankingIndex(double margin) { return margin > 0 ? 0 : margin == 0 ? 1 : 2; }

// policy right, tie, wrong; in each, reference right, tie, wrong
std::size_t LearningCellIndex(double policy_margin, double reference_margin) {
  return 3 * RankingIndex(policy_margin) + RankingIndex(reference_margin);
}

prometheus::Family<prometheus::Histogram>& HistogramFamily(prometheus::Registry& registry, const char* name,
                                                           const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

// One counter per gRPC code.
std::vector<prometheus::Counter*> ByCode(prometheus::Family<prometheus::Counter>& family, const Labels& labels) {
  std::vector<prometheus::Counter*> counters;
  for (const char* code : kCodeNames) {
    Labels with_code = labels;
    with_code["code"] = code;
    counters.push_back(&family.Add(with_code));
  }
  return counters;
}

int Clamped(int code) { return std::clamp(code, 0, kNumCodes - 1); }

}  // namespace

Metrics::Metrics(const std::vector<std::string>& methods, const std::vector<std::string>& services)
    : registry_(std::make_shared<prometheus::Registry>()) {
  prometheus::Registry& registry = *registry_;

  auto& requests = CounterFamily(registry, "prefscore_requests_total", "Finished calls by rpc and gRPC code");
  auto& durations = HistogramFamily(registry, "prefscore_request_duration_seconds",
                                    "From the arrival of a call to its end, whatever its outcome, by rpc");
  for (const std::string& method : methods) {
    methods_[method] = {.requests = ByCode(requests, {{"method", method}}),
                        .duration = &durations.Add({{"method", method}}, kDurationBuckets)};
  }
  auto& serving = GaugeFamily(registry, "prefscore_serving", "1 where health says SERVING of the service, else 0");
  for (const std::string& service : services) serving_[service] = &serving.Add({{"grpc_service", service}});
  streams_in_flight_ = &GaugeFamily(registry, "prefscore_streams_in_flight", "Open streams, of pairs to score and of pairs to analyse").Add({});

  auto& queued_groups =
      GaugeFamily(registry, "prefscore_queued_pairs", "Pairs and prompts that wait to be scored, by class");
  auto& queued_tokens = GaugeFamily(registry, "prefscore_queued_tokens", "Tokens that wait to be scored, by class");
  auto& queue_limits = GaugeFamily(registry, "prefscore_queue_limit_tokens",
                                   "Tokens from which on a class is refused: of what waits and what is being prepared");
  auto& queue_delays = HistogramFamily(registry, "prefscore_queue_delay_seconds",
                                       "From the queueing of a pair or prompt to its batch, by class");
  auto& refusals = CounterFamily(registry, "prefscore_refusals_total",
                                 "Calls and messages of streams that were not let in, by class and reason");
  auto& predicted = CounterFamily(registry, "prefscore_batch_predicted_seconds_total",
                                  "Time that batches were predicted to take, by class");
  auto& durations_of_batches = HistogramFamily(registry, "prefscore_batch_duration_seconds",
                                               "From the start of a batch to its end, all models together, by class");
  for (const char* name : kPriorityNames) {
    const Labels labels = {{"priority", name}};
    ClassMetrics& metrics = classes_.emplace_back(
        ClassMetrics{.queued_groups = &queued_groups.Add(labels),
                     .queued_tokens = &queued_tokens.Add(labels),
                     .queue_limit_tokens = &queue_limits.Add(labels),
                     .queue_delay = &queue_delays.Add(labels, kDurationBuckets),
                     .refusals = {},
                     .predicted_seconds = &predicted.Add(labels),
                     .batch_duration = &durations_of_batches.Add(labels, kDurationBuckets)});
    for (const char* reason : kRefusalReasonNames) {
      metrics.refusals.push_back(&refusals.Add({{"priority", name}, {"reason", reason}}));
    }
  }
  batch_tokens_ =
      &HistogramFamily(registry, "prefscore_batch_tokens", "Tokens of a batch, all models together")
           .Add({}, kTokenBuckets);
  batch_bytes_ = &HistogramFamily(registry, "prefscore_batch_bytes", "Estimated memory of a batch").Add({}, kByteBuckets);

  auto& tokens = CounterFamily(registry, "prefscore_tokens_total",
                               "Tokens of prompts and completions: computed, saved by computing equal prompts and completions of "
                               "a batch once, saved by the cache of log-probs");
  tokens_computed_ = &tokens.Add({{"kind", "computed"}});
  tokens_saved_ = &tokens.Add({{"kind", "saved_by_sharing"}});
  tokens_cached_ = &tokens.Add({{"kind", "saved_by_cache"}});
  cache_ = std::make_unique<CacheMetrics>(registry);
  access_ = std::make_unique<AccessMetrics>(registry);

  pairs_scored_ = &CounterFamily(registry, "prefscore_pairs_scored_total",
                                 "Pairs of accepted calls that were scored").Add({});
  pairs_accurate_ = &CounterFamily(registry, "prefscore_pairs_accurate_total",
                                   "Scored pairs whose reward margin is > 0: over pairs_scored, the reward accuracy")
                         .Add({});
  pairs_failed_ = ByCode(CounterFamily(registry, "prefscore_pairs_failed_total",
                                       "Pairs of accepted calls that were to be scored and were not, by gRPC code"),
                         {});
  prompts_scored_ = &CounterFamily(registry, "prefscore_prompts_scored_total",
                                   "Prompts of accepted calls whose completions were scored")
                         .Add({});
  prompts_failed_ = ByCode(CounterFamily(registry, "prefscore_prompts_failed_total",
                                         "Prompts of accepted calls whose completions were not scored, by gRPC code"),
                           {});
  non_finite_results_ = &CounterFamily(registry, "prefscore_non_finite_results_total",
                                       "Pairs and prompts with a log-probability that is not finite")
                             .Add({});
  reward_margin_ = &HistogramFamily(registry, "prefscore_reward_margin",
                                    "Reward of chosen less reward of rejected under a request's first objective; "
                                    "signed, so only the buckets are meaningful over time")
                        .Add({}, kMarginBuckets);

  GaugeFamily(registry, "prefscore_build_info", "Always 1; the labels tell the version")
      .Add({{"version", kVersion}})
      .Set(1);
}

void Metrics::SetModels(const std::vector<ModelLabels>& configured_models) {
  prometheus::Registry& registry = *registry_;
  auto& loaded = GaugeFamily(registry, "prefscore_model_loaded",
                             "1 where a configured model could be loaded at start, 0 where not, by model");
  std::vector<ModelLabels> models;  // that can be asked
  for (const ModelLabels& model : configured_models) {
    loaded.Add({{"model", model.name}}).Set(model.is_loaded ? 1 : 0);
    if (model.is_loaded) models.push_back(model);
  }

  auto& forwards = HistogramFamily(registry, "prefscore_forward_duration_seconds",
                                   "One forward pass over a batch, by model");
  auto& out_of_memory = CounterFamily(registry, "prefscore_out_of_memory_total",
                                      "Forward passes that did not fit into memory, by model: each was halved, or its "
                                      "pair or prompt refused where it was a single completion");
  auto& costs = GaugeFamily(registry, "prefscore_cost_seconds",
                            "What a forward pass was measured to cost at start, by model and what it is proportional to");
  for (const ModelLabels& model : models) {
    for (const char* term : kCostTerms) {
      cost_seconds_[model.name].push_back(&costs.Add({{"model", model.name}, {"per", term}}));
    }
    out_of_memory_[model.name] = &out_of_memory.Add({{"model", model.name}});
    forward_duration_[model.name] = &forwards.Add({{"model", model.name}}, kDurationBuckets);
  }

  auto& policy_margins = HistogramFamily(registry, "prefscore_policy_margin_nats",
                                         "Log-prob of chosen less log-prob of rejected under a policy, by model; "
                                         "signed, so only the buckets are meaningful over time");
  auto& reference_margins = HistogramFamily(registry, "prefscore_reference_margin_nats",
                                            "The same under a reference, by model");
  auto& chosen_logratios = HistogramFamily(registry, "prefscore_chosen_logratio_nats",
                                           "Log-prob of chosen under a policy less that under the reference, by policy; "
                                           "signed, so only the buckets are meaningful over time");
  auto& rejected_logratios =
      HistogramFamily(registry, "prefscore_rejected_logratio_nats", "The same of rejected, by policy");
  auto& cells = CounterFamily(registry, "prefscore_learning_cell_pairs_total",
                              "Pairs by how policy and reference rank them: right where their margin is > 0");
  for (const ModelLabels& policy : models) {
    policy_margin_[policy.name] = &policy_margins.Add({{"model", policy.name}}, kModelMarginBuckets);
    reference_margin_[policy.name] = &reference_margins.Add({{"model", policy.name}}, kModelMarginBuckets);
    chosen_logratio_[policy.name] = &chosen_logratios.Add({{"model", policy.name}}, kLogRatioBuckets);
    rejected_logratio_[policy.name] = &rejected_logratios.Add({{"model", policy.name}}, kLogRatioBuckets);
    for (const ModelLabels& reference : models) {
      auto& counters = learning_cells_[{policy.name, reference.name}];
      for (const char* policy_ranking : kRankings) {
        for (const char* reference_ranking : kRankings) {
          counters.push_back(&cells.Add({{"policy", policy.name},
                                         {"reference", reference.name},
                                         {"policy_ranking", policy_ranking},
                                         {"reference_ranking", reference_ranking}}));
        }
      }
    }
  }

  auto& model_info = GaugeFamily(registry, "prefscore_model_info", "Always 1; the labels identify a hosted model");
  for (const ModelLabels& model : models) {
    model_info
        .Add({{"model", model.name},
              {"role", model.role},
              {"digest", model.digest},
              {"dtype", model.dtype},
              {"numerics_mode", model.numerics_mode}})
        .Set(1);
  }
}

void Metrics::OnRequest(const std::string& method, int code, absl::Duration duration) {
  const MethodMetrics& metrics = methods_.at(method);
  metrics.requests[Clamped(code)]->Increment();
  metrics.duration->Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::SetQueueLimit(std::int64_t max_queued_tokens) {
  for (const Priority priority : kPriorities) {
    classes_[static_cast<std::size_t>(priority)].queue_limit_tokens->Set(ShareOfLimits(priority) *
                                                                         static_cast<double>(max_queued_tokens));
  }
}

void Metrics::OnQueueChanged(Priority priority, std::int64_t queued_groups, std::int64_t queued_tokens) {
  const ClassMetrics& metrics = classes_[static_cast<std::size_t>(priority)];
  metrics.queued_groups->Set(static_cast<double>(queued_groups));
  metrics.queued_tokens->Set(static_cast<double>(queued_tokens));
}

void Metrics::OnQueueDelay(Priority priority, absl::Duration delay) {
  classes_[static_cast<std::size_t>(priority)].queue_delay->Observe(absl::ToDoubleSeconds(delay));
}

void Metrics::OnBatch(const BatchReport& batch) {
  const ClassMetrics& metrics = classes_[static_cast<std::size_t>(batch.priority)];
  batch_tokens_->Observe(static_cast<double>(batch.num_tokens));
  batch_bytes_->Observe(static_cast<double>(batch.num_bytes));
  metrics.predicted_seconds->Increment(batch.predicted_seconds);
  metrics.batch_duration->Observe(batch.measured_seconds);
}

void Metrics::OnRefused(Priority priority, RefusalReason reason) {
  classes_[static_cast<std::size_t>(priority)].refusals[static_cast<std::size_t>(reason)]->Increment();
}

void Metrics::OnCostFitted(const std::string& model, const CostCoefficients& cost) {
  const double seconds[] = {cost.seconds_per_token, cost.seconds_per_attended_position, cost.seconds_per_head_row,
                            cost.seconds_per_forward};
  for (std::size_t term = 0; term < std::size(kCostTerms); ++term) cost_seconds_.at(model)[term]->Set(seconds[term]);
}

void Metrics::OnForward(const std::string& model, absl::Duration duration) {
  forward_duration_.at(model)->Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::OnOutOfMemory(const std::string& model) { out_of_memory_.at(model)->Increment(); }

void Metrics::OnTokens(std::int64_t computed, std::int64_t saved_by_sharing) {
  tokens_computed_->Increment(static_cast<double>(computed));
  tokens_saved_->Increment(static_cast<double>(saved_by_sharing));
}

void Metrics::OnCachedTokens(std::int64_t saved_by_cache) {
  tokens_cached_->Increment(static_cast<double>(saved_by_cache));
}

void Metrics::OnPairScored(const ScoredPair& pair) {
  pairs_scored_->Increment();
  if (pair.reward_margin > 0) pairs_accurate_->Increment();
  reward_margin_->Observe(pair.reward_margin);
  policy_margin_.at(pair.policy)->Observe(pair.policy_margin);
  if (!pair.against_reference.has_value()) return;
  chosen_logratio_.at(pair.policy)->Observe(pair.against_reference->chosen_logratio);
  rejected_logratio_.at(pair.policy)->Observe(pair.against_reference->rejected_logratio);
  const double reference_margin = pair.against_reference->margin;
  if (pair.reference.empty()) return;
  reference_margin_.at(pair.reference)->Observe(reference_margin);
  learning_cells_.at({pair.policy, pair.reference})[LearningCellIndex(pair.policy_margin, reference_margin)]
      ->Increment();
}

void Metrics::OnPairFailed(int code) {
  pairs_failed_[Clamped(code)]->Increment();
  if (code == kOutOfRange) non_finite_results_->Increment();
}

void Metrics::OnPromptFailed(int code) {
  prompts_failed_[Clamped(code)]->Increment();
  if (code == kOutOfRange) non_finite_results_->Increment();
}

}  // namespace prefscore
