// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/completions_job.h"

#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/scoring/completion_scores.h"
#include "server/scoring/prepare.h"

namespace prefscore {
namespace {

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

}  // namespace

std::shared_ptr<GroupJob> MakeCompletionsJob(const GroupRequest& request, const CompletionOptions& options,
                                             GroupOutcome& outcome) {
  auto prepared = PrepareCompletions(request.content, {options.models, options.length});
  if (!prepared.ok()) {
    outcome.status = prepared.status();
    return nullptr;
  }
  outcome.prepared = *std::move(prepared);
  auto job = std::make_shared<GroupJob>();
  job->cache_mode = options.cache_mode;
  const auto groups = MergeEqualPrompts(outcome.prepared, job->locations);
  for (const HostedModel* model : options.models) {
    const bool uses_cache = options.cached_model == nullptr || options.cached_model == model;
    for (const auto& group : groups) {
      job->forwards.push_back(
          {.model = model, .group = group, .uses_cache = uses_cache, .cache_keys = {}, .scores = {}});
    }
  }
  return job;
}

void FinishCompletions(const GroupRequest& request, const CompletionOptions& options, GroupJob& job,
                       GroupOutcome& outcome) {
  const std::size_t num_prompts = job.forwards.size() / options.models.size();
  for (std::size_t model_idx = 0; model_idx < options.models.size(); ++model_idx) {
    std::vector<CompletionScore>& scores = outcome.scores.emplace_back();
    for (const GroupJob::Location& location : job.locations) {
      GroupForward& forward = job.forwards[model_idx * num_prompts + location.prompt_idx];
      outcome.status.Update(CheckFinite(forward.scores[location.completion_idx],
                                        absl::StrCat(forward.model->name, ", completions[", scores.size(), "]")));
      scores.push_back(std::move(forward.scores[location.completion_idx]));
    }
  }
}

}  // namespace prefscore
