// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/scorer_metrics.h"

namespace prefscore {
namespace {

constexpr const char* kRoleNames[] = {"", "policy", "reference", "policy_and_reference"};  // as ModelRole

}  // namespace

std::vector<ModelLabels> LabelsOf(const ModelRegistry& registry) {
  std::vector<ModelLabels> labels;
  for (const HostedModel& model : registry.models()) {
    const ModelInfo& info = model.lm->info();
    labels.push_back({.name = model.name,
                      .role = kRoleNames[static_cast<std::size_t>(registry.RoleOf(model.name))],
                      .digest = info.digest,
                      .dtype = info.dtype,
                      .numerics_mode = info.numerics_mode});
  }
  for (const MissingModel& model : registry.missing()) {
    ModelLabels& missing = labels.emplace_back();
    missing.name = model.name;
    missing.is_loaded = false;
  }
  return labels;
}

ScorerObserver CountInto(Metrics& metrics) {
  ScorerObserver observer;
  observer.scheduler.on_queue_changed = [&metrics](Priority priority, std::int64_t groups, std::int64_t tokens) {
    metrics.OnQueueChanged(priority, groups, tokens);
  };
  observer.scheduler.on_queue_delay = [&metrics](Priority priority, absl::Duration delay) {
    metrics.OnQueueDelay(priority, delay);
  };
  observer.scheduler.on_batch = [&metrics](const BatchReport& batch) { metrics.OnBatch(batch); };
  observer.scheduler.on_refused = [&metrics](Priority priority, RefusalReason reason) {
    metrics.OnRefused(priority, reason);
  };
  observer.on_forward = [&metrics](const ForwardReport& report) {
    metrics.OnForward(report.model.name, report.duration);
    metrics.OnTokens(report.num_tokens, report.num_tokens_saved);
  };
  observer.on_out_of_memory = [&metrics](const HostedModel& model) { metrics.OnOutOfMemory(model.name); };
  observer.on_cached_tokens = [&metrics](std::int64_t saved) { metrics.OnCachedTokens(saved); };
  return observer;
}

}  // namespace prefscore
