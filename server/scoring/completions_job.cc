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
std::vector<std::shared_ptr<const PromptGroup>> MergeEqualPrompts(std::vector<PreparedGroup> singles,
                                                                  std::vector<GroupJob::Location>& locations) {
  std::vector<std::shared_ptr<PromptGroup>> groups;
  std::map<TokenIds, std::size_t> index_of_prompt;
  for (PreparedGroup& single : singles) {
    const auto [entry, is_new] = index_of_prompt.try_emplace(std::move(single.ids.prompt), groups.size());
    if (is_new) groups.push_back(std::make_shared<PromptGroup>(PromptGroup{entry->first, {}}));
    PromptGroup& group = *groups[entry->second];
    locations.push_back({.prompt_idx = entry->second, .completion_idx = group.completions.size()});
    group.completions.push_back(std::move(single.ids.completions.front()));
  }
  return {groups.begin(), groups.end()};
}

CompletionNotes NotesOf(const PreparedGroup& single) {
  return {.num_prompt_tokens = static_cast<std::int64_t>(single.ids.prompt.size()),
          .num_completion_tokens = static_cast<std::int64_t>(single.ids.completions.front().size()),
          .boundary_merged = single.notes.boundary_merged.front(),
          .num_truncated_prompt_tokens = single.notes.num_truncated_prompt_tokens,
          .num_truncated_completion_tokens = single.notes.num_truncated_completion_tokens.front()};
}

}  // namespace

std::shared_ptr<GroupJob> MakeCompletionsJob(GroupRequest& request, const CompletionOptions& options,
                                             GroupOutcome& outcome) {
  auto prepared = PrepareCompletions(std::exchange(request.content, {}), {options.models, options.length});
  if (!prepared.ok()) {
    outcome.status = prepared.status();
    return nullptr;
  }
  for (const PreparedGroup& single : *prepared) outcome.completions.push_back(NotesOf(single));
  auto job = std::make_shared<GroupJob>();
  job->cache_mode = options.cache_mode;
  const auto groups = MergeEqualPrompts(*std::move(prepared), job->locations);
  for (const HostedModel* model : options.models) {
    const bool uses_cache = options.cached_model == nullptr || options.cached_model == model;
    for (const auto& group : groups) {
      job->forwards.push_back(
          {.model = model, .group = group, .uses_cache = uses_cache, .cache_keys = {}, .scores = {}, .pass = nullptr});
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
