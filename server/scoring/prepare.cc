// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/prepare.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

absl::StatusOr<const Tokenizer*> SharedTokenizer(const std::vector<const HostedModel*>& models) {
  const HostedModel& first = *models.front();
  for (const HostedModel* model : models) {
    if (model->tokenizer == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("model '", model->name, "' has no tokenizer: send token ids instead of text"));
    }
    if (model->tokenizer->fingerprint() != first.tokenizer->fingerprint()) {
      return absl::FailedPreconditionError(
          absl::StrCat("models '", first.name, "' and '", model->name,
                       "' tokenise text differently (tokenizer fingerprints differ): send token ids instead of text"));
    }
  }
  return first.tokenizer.get();
}

absl::Status CheckIds(const TokenIds& ids, const std::string& field, const std::vector<const HostedModel*>& models) {
  if (ids.empty()) return FieldError(field, "has 0 tokens; at least 1 is needed");
  for (const HostedModel* model : models) {
    const std::int64_t vocab_size = model->lm->info().vocab_size;
    for (std::size_t position = 0; position < ids.size(); ++position) {
      if (ids[position] >= vocab_size) {
        return FieldError(field, absl::StrCat("token id ", ids[position], " at position ", position,
                                              " is outside the vocabulary of model '", model->name, "': [0, ",
                                              vocab_size, ")"));
      }
    }
  }
  return absl::OkStatus();
}

std::int64_t MaxLength(const PrepareOptions& options) {
  std::int64_t max_length = options.models.front()->lm->info().max_context_tokens;
  for (const HostedModel* model : options.models) {
    max_length = std::min(max_length, model->lm->info().max_context_tokens);
  }
  return options.length.max_length > 0 ? std::min(max_length, options.length.max_length) : max_length;
}

absl::StatusOr<PreparedGroup> Tokenize(const TextGroup& text, const PrepareOptions& options,
                                       const std::vector<std::string>& names) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, SharedTokenizer(options.models));
  ASSIGN_OR_RETURN(TokenizedGroup tokenized, TokenizeLikeTrl(*tokenizer, text, names));
  return PreparedGroup{
      .ids = {.prompt = std::move(tokenized.prompt), .completions = std::move(tokenized.completions)},
      .notes = {.boundary_merged = std::move(tokenized.boundary_merged),
                .num_unshared_prompt_tokens = tokenized.num_unshared_prompt_tokens,
                .num_truncated_prompt_tokens = 0,
                .num_truncated_completion_tokens = {},
                .template_date = std::move(tokenized.template_date)}};
}

PreparedGroup FromIds(PromptGroup ids) {
  PreparedGroup prepared{.ids = std::move(ids), .notes = {}};
  prepared.notes.boundary_merged.assign(prepared.ids.completions.size(), false);
  return prepared;
}

// Checks and truncates.
absl::StatusOr<PreparedGroup> MakeFit(PreparedGroup prepared, const PrepareOptions& options,
                                      const std::vector<std::string>& names) {
  RETURN_IF_ERROR(CheckIds(prepared.ids.prompt, "prompt", options.models));
  for (std::size_t idx = 0; idx < prepared.ids.completions.size(); ++idx) {
    RETURN_IF_ERROR(CheckIds(prepared.ids.completions[idx], names[idx], options.models));
  }
  RETURN_IF_ERROR(Truncate(prepared.ids, MaxLength(options), options.length.policy, names, prepared.notes));
  return prepared;
}

}  // namespace

absl::Status Truncate(PromptGroup& ids, std::int64_t max_length, TruncationPolicy policy,
                      const std::vector<std::string>& names, TokenizationNotes& notes) {
  notes.num_truncated_completion_tokens.assign(ids.completions.size(), 0);
  const auto prompt_length = static_cast<std::int64_t>(ids.prompt.size());
  std::int64_t prompt_excess = 0;
  for (std::size_t idx = 0; idx < ids.completions.size(); ++idx) {
    const auto completion_length = static_cast<std::int64_t>(ids.completions[idx].size());
    const std::int64_t excess = prompt_length + completion_length - max_length;
    if (excess <= 0) continue;
    const std::string lengths = absl::StrCat("prompt (", prompt_length, " tokens) and completion (", completion_length,
                                             " tokens) exceed max_length = ", max_length);
    switch (policy) {
      case TruncationPolicy::kError:
        return FieldError(names[idx], lengths);
      case TruncationPolicy::kKeepStart:
        if (excess >= completion_length) {
          return FieldError("prompt", absl::StrCat(lengths, "; keep_start would leave no completion token"));
        }
        ids.completions[idx].resize(completion_length - excess);
        notes.num_truncated_completion_tokens[idx] = excess;
        break;
      case TruncationPolicy::kKeepPromptEnd:
        if (excess >= prompt_length) {
          return FieldError(names[idx], absl::StrCat(lengths, "; keep_prompt_end would leave no prompt token"));
        }
        prompt_excess = std::max(prompt_excess, excess);
        break;
    }
  }
  ids.prompt.erase(ids.prompt.begin(), ids.prompt.begin() + prompt_excess);
  notes.num_truncated_prompt_tokens = prompt_excess;
  return absl::OkStatus();
}

absl::StatusOr<PreparedGroup> PreparePair(GroupContent content, const std::vector<std::string>& names,
                                          const PrepareOptions& options) {
  if (auto* ids = std::get_if<PromptGroup>(&content)) return MakeFit(FromIds(std::move(*ids)), options, names);
  ASSIGN_OR_RETURN(PreparedGroup prepared, Tokenize(std::get<TextGroup>(content), options, names));
  return MakeFit(std::move(prepared), options, names);
}

absl::StatusOr<std::vector<PreparedGroup>> PrepareCompletions(GroupContent content, const PrepareOptions& options) {
  std::vector<PreparedGroup> all;
  const auto prepare = [&](auto group, auto tokenize) -> absl::Status {
    const auto completions = std::exchange(group.completions, {});
    for (std::size_t idx = 0; idx < completions.size(); ++idx) {
      const std::vector<std::string> names = {absl::StrCat("completions[", idx, "]")};
      group.completions = {completions[idx]};
      ASSIGN_OR_RETURN(PreparedGroup prepared, tokenize(group, names));
      ASSIGN_OR_RETURN(prepared, MakeFit(std::move(prepared), options, names));
      all.push_back(std::move(prepared));
    }
    return absl::OkStatus();
  };
  using Prepared = absl::StatusOr<PreparedGroup>;
  if (auto* ids = std::get_if<PromptGroup>(&content)) {
    RETURN_IF_ERROR(prepare(std::move(*ids), [](const PromptGroup& one, auto&) -> Prepared { return FromIds(one); }));
  } else {
    RETURN_IF_ERROR(prepare(std::move(std::get<TextGroup>(content)), [&](const TextGroup& one, auto& names) -> Prepared {
      return Tokenize(one, options, names);
    }));
  }
  return all;
}

}  // namespace prefscore
