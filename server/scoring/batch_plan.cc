// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/batch_plan.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace prefscore {
namespace {

using IdSpan = absl::Span<const TokenId>;  // hashed and compared by content

bool HaveEqualWeights(const HostedModel& a, const HostedModel& b) {
  if (a.lm == b.lm) return true;
  const ModelInfo& a_info = a.lm->info();
  const ModelInfo& b_info = b.lm->info();
  return a_info.digest == b_info.digest && a_info.numerics_mode == b_info.numerics_mode && a_info.dtype == b_info.dtype;
}

}  // namespace

// Gathers what is asked of one set of weights.
class ForwardPlanner {
 public:
  explicit ForwardPlanner(const HostedModel* model) { planned_.model_ = model; }

  const HostedModel& model() const { return *planned_.model_; }

  void Add(GroupForward& forward) {
    planned_.forwards_.push_back(&forward);
    const PromptGroup& group = *forward.group;
    forward.scores.resize(group.completions.size());
    for (std::size_t idx = 0; idx < group.completions.size(); ++idx) {
      if (forward.IsMissing(idx)) Ask(group, group.completions[idx], forward.scores[idx]);
    }
  }

  PlannedForward Finish() && {
    for (const DistinctPrompt& prompt : prompts_) {
      planned_.groups_.push_back(GroupOf(prompt));
      planned_.num_tokens_ += planned_.groups_.back()->num_tokens();
    }
    return std::move(planned_);
  }

 private:
  struct DistinctPrompt {
    const PromptGroup* first;  // that asked
    std::vector<const TokenIds*> completions;
  };

  void Ask(const PromptGroup& group, const TokenIds& completion, CompletionScore& score) {
    const auto [prompt_entry, is_new_prompt] = prompt_index_.try_emplace(IdSpan(group.prompt), prompts_.size());
    const std::size_t prompt_idx = prompt_entry->second;
    if (is_new_prompt) {
      prompts_.push_back({.first = &group, .completions = {}});
      planned_.askers_.emplace_back();
    }
    DistinctPrompt& prompt = prompts_[prompt_idx];
    const auto [completion_entry, is_new_completion] =
        completion_index_.try_emplace({prompt_idx, IdSpan(completion)}, prompt.completions.size());
    if (is_new_completion) {
      prompt.completions.push_back(&completion);
      planned_.askers_[prompt_idx].emplace_back();
    }
    planned_.askers_[prompt_idx][completion_entry->second].push_back(&score);
    planned_.num_tokens_asked_ += static_cast<std::int64_t>(group.prompt.size() + completion.size());
  }

  // The asker's own group where it is the whole, as it mostly is; a new one otherwise.
  const PromptGroup* GroupOf(const DistinctPrompt& prompt) {
    bool is_own = prompt.completions.size() == prompt.first->completions.size();
    for (std::size_t idx = 0; is_own && idx < prompt.completions.size(); ++idx) {
      is_own = prompt.completions[idx] == &prompt.first->completions[idx];
    }
    if (is_own) return prompt.first;
    auto merged = std::make_unique<PromptGroup>(PromptGroup{prompt.first->prompt, {}});
    for (const TokenIds* completion : prompt.completions) merged->completions.push_back(*completion);
    planned_.merged_.push_back(std::move(merged));
    return planned_.merged_.back().get();
  }

  PlannedForward planned_;
  std::vector<DistinctPrompt> prompts_;
  absl::flat_hash_map<IdSpan, std::size_t> prompt_index_;
  absl::flat_hash_map<std::pair<std::size_t, IdSpan>, std::size_t> completion_index_;  // by prompt and content
};

std::vector<PlannedForward> PlanBatch(std::span<GroupForward* const> forwards) {
  std::vector<ForwardPlanner> planners;
  for (GroupForward* forward : forwards) {
    if (NumMissingTokens(*forward) == 0) continue;
    auto planner = planners.begin();
    while (planner != planners.end() && !HaveEqualWeights(planner->model(), *forward->model)) ++planner;
    if (planner == planners.end()) planner = planners.emplace(planner, forward->model);
    planner->Add(*forward);
  }
  std::vector<PlannedForward> planned;
  for (ForwardPlanner& planner : planners) planned.push_back(std::move(planner).Finish());
  return planned;
}

void PlannedForward::Distribute(std::vector<std::vector<CompletionScore>> scores) const {
  for (std::size_t group_idx = 0; group_idx < askers_.size(); ++group_idx) {
    for (std::size_t completion_idx = 0; completion_idx < askers_[group_idx].size(); ++completion_idx) {
      const std::vector<CompletionScore*>& askers = askers_[group_idx][completion_idx];
      CompletionScore& score = scores[group_idx][completion_idx];
      for (std::size_t idx = 0; idx + 1 < askers.size(); ++idx) *askers[idx] = score;
      *askers.back() = std::move(score);
    }
  }
}

}  // namespace prefscore
