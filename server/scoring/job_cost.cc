// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/job_cost.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <variant>

namespace prefscore {
namespace {

std::int64_t BytesOf(const TextContent& content) {
  const auto* text = std::get_if<std::string>(&content);
  return static_cast<std::int64_t>(text != nullptr ? text->size() : std::get<ConversationJson>(content).messages.size());
}

// Of the completions for which is_asked(index); nothing where there are none.
template <typename IsAsked>
ForwardWork WorkOf(const PromptGroup& group, IsAsked is_asked) {
  const auto prompt = static_cast<std::int64_t>(group.prompt.size());
  ForwardWork work;
  for (std::size_t idx = 0; idx < group.completions.size(); ++idx) {
    if (!is_asked(idx)) continue;
    if (work.num_tokens == 0) work = {prompt, prompt * (prompt + 1) / 2, 1};
    const auto num_rows = static_cast<std::int64_t>(group.completions[idx].size()) - 1;
    work.num_tokens += num_rows;
    work.num_attended_positions += num_rows * prompt + num_rows * (num_rows + 1) / 2;
    work.num_head_rows += num_rows;
  }
  return work;
}

}  // namespace

ContentSize SizeOf(const GroupContent& content) {
  ContentSize size{.num_bytes = kQueuedBytesPerGroup};
  if (const auto* ids = std::get_if<PromptGroup>(&content)) {
    size.num_ids = ids->num_tokens();
    size.num_bytes += size.num_ids * static_cast<std::int64_t>(sizeof(TokenId));
    return size;
  }
  const auto& text = std::get<TextGroup>(content);
  if (text.prompt.has_value()) size.num_text_bytes = BytesOf(*text.prompt);
  for (const TextContent& completion : text.completions) size.num_text_bytes += BytesOf(completion);
  size.num_bytes += size.num_text_bytes +
                    static_cast<std::int64_t>(text.tools_json.size() + text.chat_template_kwargs_json.size());
  return size;
}

ForwardWork WorkOf(const PromptGroup& group) { return WorkOf(group, [](std::size_t) { return true; }); }

ForwardWork WorkOf(const GroupForward& forward) {
  return WorkOf(*forward.group, [&](std::size_t idx) { return forward.IsMissing(idx); });
}

void SetCost(GroupJob& job) {
  job.num_tokens = 0;
  job.num_queued_bytes = kQueuedBytesPerGroup;
  job.num_batch_bytes = 0;
  job.work.clear();
  std::set<std::pair<const CausalLm*, const PromptGroup*>> counted;
  std::set<const PromptGroup*> held;
  for (const GroupForward& forward : job.forwards) {
    job.num_tokens += NumMissingTokens(forward);
    const ForwardWork work = WorkOf(forward);
    if (work.num_tokens == 0) continue;
    job.num_queued_bytes += work.num_head_rows * static_cast<std::int64_t>(sizeof(double));
    if (held.insert(forward.group.get()).second) {
      job.num_queued_bytes += forward.group->num_tokens() * static_cast<std::int64_t>(sizeof(TokenId));
    }
    if (!counted.insert({forward.model->lm.get(), forward.group.get()}).second) continue;
    // Models run one after the other: the larger one's memory is the batch's.
    job.num_batch_bytes = std::max(job.num_batch_bytes, work.num_tokens * kBatchBytesPerRow +
                                                            work.num_head_rows * kBatchBytesPerHeadRow);
    job.work.push_back({forward.model->lm.get(), work});
  }
}

}  // namespace prefscore
