// SPDX-License-Identifier: Apache-2.0
// The server's metrics: every name, label and bucket is in metrics.cc (the cache's in cache_metrics.cc), every event that
// is counted is a method here.
//
// Label values come from fixed sets (methods, gRPC code names, names of the hosted models), so the number of series is
// bounded. Label children are made before the first call: a series is 0 before its first event, not absent.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/batching/scheduler.h"
#include "server/metrics/access_metrics.h"
#include "server/metrics/cache_metrics.h"

namespace prefscore {

// A hosted model as prefscore_model_info shows it.
struct ModelLabels {
  std::string name;
  std::string role;  // "policy", "reference", "policy_and_reference" or ""
  std::string digest;
  std::string dtype;
  std::string numerics_mode;
  bool is_loaded = true;  // otherwise only its name is known
};

// A scored pair as the metrics see it.
struct ScoredPair {
  std::string policy;                      // name of the model
  std::string reference;                   // likewise; empty where none was asked
  double policy_margin;                    // h, nats
  double reward_margin;                    // of the request's first objective
  struct AgainstReference {
    double margin;             // h0, nats
    double chosen_logratio;    // log policy(y+)/reference(y+), nats
    double rejected_logratio;  // likewise of y-
  };
  std::optional<AgainstReference> against_reference;  // nothing where the reference was not computed or given
};

// Thread-safe.
class Metrics {
 public:
  // `methods`: names of all rpcs, as they will be passed to OnRequest. `services`: likewise of SetServing.
  Metrics(const std::vector<std::string>& methods, const std::vector<std::string>& services);

  // Once, when models are loaded and before the first call: the series of each.
  void SetModels(const std::vector<ModelLabels>& models);

  // What health says of a service.
  void SetServing(const std::string& service, bool is_serving) { serving_.at(service)->Set(is_serving ? 1 : 0); }
  // Once, at start.
  void SetQueueLimit(std::int64_t max_queued_tokens);

  // `code`: a gRPC code, 0 to 16.
  void OnRequest(const std::string& method, int code, absl::Duration duration);
  void OnStreamOpened() { streams_in_flight_->Increment(); }
  void OnStreamClosed() { streams_in_flight_->Decrement(); }

  std::int64_t num_open_streams() const { return static_cast<std::int64_t>(streams_in_flight_->Value()); }

  void OnQueueChanged(Priority priority, std::int64_t queued_groups, std::int64_t queued_tokens);
  void OnQueueDelay(Priority priority, absl::Duration delay);
  void OnBatch(const BatchReport& batch);
  void OnRefused(Priority priority, RefusalReason reason);
  // What a pass of this model costs was measured.
  void OnCostFitted(const std::string& model, const CostCoefficients& cost);
  void OnForward(const std::string& model, absl::Duration duration);
  void OnOutOfMemory(const std::string& model);
  void OnTokens(std::int64_t computed, std::int64_t saved_by_sharing);
  void OnCachedTokens(std::int64_t saved_by_cache);

  CacheMetrics& cache() { return *cache_; }
  AccessMetrics& access() { return *access_; }

  // How a pair, or a prompt with its completions, of an accepted call ended that models were to score. `code`: a gRPC
  // code; OUT_OF_RANGE is a non-finite log-prob.
  void OnPairScored(const ScoredPair& pair);
  void OnPairFailed(int code);
  void OnPromptScored() { prompts_scored_->Increment(); }
  void OnPromptFailed(int code);

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

 private:
  struct MethodMetrics {
    std::vector<prometheus::Counter*> requests;  // [gRPC code]
    prometheus::Histogram* duration;
  };

  const std::shared_ptr<prometheus::Registry> registry_;
  std::map<std::string, MethodMetrics> methods_;
  std::map<std::string, prometheus::Gauge*> serving_;  // by service
  prometheus::Gauge* streams_in_flight_;
  struct ClassMetrics {
    prometheus::Gauge* queued_groups;
    prometheus::Gauge* queued_tokens;
    prometheus::Gauge* queue_limit_tokens;
    prometheus::Histogram* queue_delay;
    std::vector<prometheus::Counter*> refusals;  // [RefusalReason]
    prometheus::Counter* predicted_seconds;
    prometheus::Histogram* batch_duration;
  };
  std::vector<ClassMetrics> classes_;  // [Priority]
  prometheus::Histogram* batch_tokens_;
  prometheus::Histogram* batch_bytes_;
  std::map<std::string, prometheus::Histogram*> forward_duration_;  // by model
  std::map<std::string, prometheus::Counter*> out_of_memory_;            // by model
  std::map<std::string, std::vector<prometheus::Gauge*>> cost_seconds_;  // by model; [kCostTerms]
  prometheus::Counter* tokens_computed_;
  prometheus::Counter* tokens_saved_;
  prometheus::Counter* tokens_cached_;
  std::unique_ptr<CacheMetrics> cache_;
  std::unique_ptr<AccessMetrics> access_;
  prometheus::Counter* pairs_scored_;
  prometheus::Counter* pairs_accurate_;
  std::vector<prometheus::Counter*> pairs_failed_;  // [gRPC code]
  prometheus::Counter* prompts_scored_;
  std::vector<prometheus::Counter*> prompts_failed_;  // [gRPC code]
  prometheus::Counter* non_finite_results_;
  prometheus::Histogram* reward_margin_;
  std::map<std::string, prometheus::Histogram*> policy_margin_;     // by model
  std::map<std::string, prometheus::Histogram*> reference_margin_;  // by model
  std::map<std::string, prometheus::Histogram*> chosen_logratio_;   // by model, the policy
  std::map<std::string, prometheus::Histogram*> rejected_logratio_;  // likewise
  // [policy model, reference model][cell], see LearningCellIndex
  std::map<std::pair<std::string, std::string>, std::vector<prometheus::Counter*>> learning_cells_;
};

}  // namespace prefscore
