// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/pass_runner.h"

#include <algorithm>
#include <exception>
#include <iterator>
#include <new>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/scoring/completion_scores.h"
#include "server/util/error_reason.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

std::int64_t NumTokens(std::span<const PromptGroup* const> groups) {
  std::int64_t num_tokens = 0;
  for (const PromptGroup* group : groups) num_tokens += group->num_tokens();
  return num_tokens;
}

// Models catch what their libraries throw; this is for what gets past them.
absl::StatusOr<GroupScores> TryPass(const CausalLm& model, std::span<const PromptGroup* const> groups) {
  try {
    return ScoreCompletions(model, groups);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  } catch (...) {
    return absl::InternalError("an exception of unknown type");
  }
}

// Callers were let in and their requests are right: what a pass fails of is our fault, and never a full queue.
absl::Status ForwardFault(const HostedModel& model, const absl::Status& status) {
  return absl::InternalError(absl::StrCat("the forward pass of model '", model.name, "' failed: ",
                                          std::string(status.message())));
}

absl::Status DoesNotFit(const HostedModel& model, const PromptGroup& group, const absl::Status& status) {
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat(
          "a prompt of ", group.prompt.size(), " tokens with a completion of ", group.completions.front().size(),
          " does not fit into the memory that model '", model.name, "' has left, in a pass of its own: ",
          std::string(status.message()))),
      kOutOfMemoryReason);
}

}  // namespace

absl::StatusOr<GroupScores> PassRunner::Run(const HostedModel& model, std::span<const PromptGroup* const> groups,
                                            bool& was_split) {
  if (options_.now() >= limit_expiry_) {
    max_tokens_ = std::numeric_limits<std::int64_t>::max();
    limit_expiry_ = absl::InfiniteFuture();
  }
  const bool is_one_completion = groups.size() == 1 && groups.front()->completions.size() == 1;
  const std::int64_t num_tokens = NumTokens(groups);
  if (is_one_completion || num_tokens <= max_tokens_) {
    auto scores = TryPass(*model.lm, groups);
    if (scores.ok()) return scores;
    if (!absl::IsResourceExhausted(scores.status())) return ForwardFault(model, scores.status());
    options_.on_out_of_memory(model, num_tokens);
    if (is_one_completion) return DoesNotFit(model, *groups.front(), scores.status());
  }
  was_split = true;
  return RunHalves(model, groups);
}

absl::StatusOr<GroupScores> PassRunner::RunHalves(const HostedModel& model,
                                                  std::span<const PromptGroup* const> groups) {
  const PromptGroup& first = *groups.front();
  const bool splits_group = groups.size() == 1;
  PromptGroup halves[2];
  const PromptGroup* half_pointers[2] = {&halves[0], &halves[1]};
  std::span<const PromptGroup* const> parts[2];
  if (splits_group) {
    const auto middle = first.completions.begin() + static_cast<std::ptrdiff_t>(first.completions.size() / 2);
    halves[0] = {first.prompt, {first.completions.begin(), middle}};
    halves[1] = {first.prompt, {middle, first.completions.end()}};
    for (std::size_t half = 0; half < 2; ++half) parts[half] = {&half_pointers[half], 1};
  } else {
    parts[0] = groups.subspan(0, groups.size() / 2);
    parts[1] = groups.subspan(groups.size() / 2);
  }
  bool was_split = false;
  ASSIGN_OR_RETURN(GroupScores scores, Run(model, parts[0], was_split));
  ASSIGN_OR_RETURN(GroupScores others, Run(model, parts[1], was_split));
  if (!was_split) {  // each half fitted into one pass
    max_tokens_ = std::min(max_tokens_, std::max(NumTokens(parts[0]), NumTokens(parts[1])));
    if (limit_expiry_ == absl::InfiniteFuture()) limit_expiry_ = options_.now() + options_.memory_of_limit;
  }
  if (splits_group) {
    std::move(others.front().begin(), others.front().end(), std::back_inserter(scores.front()));
  } else {
    std::move(others.begin(), others.end(), std::back_inserter(scores));
  }
  return scores;
}

}  // namespace prefscore
