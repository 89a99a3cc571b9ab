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

std::vector<std::string> CompletionNames(std::size_t num_completions) {
  std::vector<std::string> names;
  for (std::size_t idx = 0; idx < num_completions; ++idx) names.push_back(absl::StrCat("completions[", idx, "]"));
  return names;
}

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

absl::StatusOr<PreparedGroup> Tokenize(const TextGroup& text, const PrepareOptions& options) {
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, SharedTokenizer(options.models));
  ASSIGN_OR_RETURN(TokenizedGroup tokenized, TokenizeLikeTrl(*tokenizer, text));
  return PreparedGroup{
      .ids = {.prompt = std::move(tokenized.prompt), .completions = std::move(tokenized.completions)},
      .notes = {.boundary_merged = std::move(tokenized.boundary_merged),
                .num_unshared_prompt_tokens = tokenized.num_unshared_prompt_tokens,
                .num_truncated_prompt_tokens = 0,
                .num_truncated_completion_tokens = {},
                .template_date = std::move(tokenized.template_date)}};
}

absl::StatusOr<PreparedGroup> Prepare(const GroupContent& content, const PrepareOptions& options,
                                      const std::vector<std::string>& names) {
  PreparedGroup prepared;
  if (const auto* text = std::get_if<TextGroup>(&content)) {
    ASSIGN_OR_RETURN(prepared, Tokenize(*text, options));
  } else {
    prepared.ids = std::get<PromptGroup>(content);
    prepared.notes.boundary_merged.assign(prepared.ids.completions.size(), false);
  }
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

absl::StatusOr<PreparedGroup> PreparePair(const GroupContent& content, const PrepareOptions& options) {
  return Prepare(content, options, {"chosen", "rejected"});
}

absl::StatusOr<std::vector<PreparedGroup>> PrepareCompletions(const GroupContent& content,
                                                              const PrepareOptions& options) {
  std::vector<PreparedGroup> prepared;
  const auto prepare_one = [&](GroupContent single, const std::string& name) -> absl::Status {
    ASSIGN_OR_RETURN(PreparedGroup group, Prepare(single, options, {name}));
    prepared.push_back(std::move(group));
    return absl::OkStatus();
  };
  if (const auto* text = std::get_if<TextGroup>(&content)) {
    const auto names = CompletionNames(text->completions.size());
    for (std::size_t idx = 0; idx < names.size(); ++idx) {
      TextGroup single = *text;
      single.completions = {text->completions[idx]};
      RETURN_IF_ERROR(prepare_one(std::move(single), names[idx]));
    }
  } else {
    const auto& ids = std::get<PromptGroup>(content);
    const auto names = CompletionNames(ids.completions.size());
    for (std::size_t idx = 0; idx < names.size(); ++idx) {
      RETURN_IF_ERROR(prepare_one(PromptGroup{ids.prompt, {ids.completions[idx]}}, names[idx]));
    }
  }
  return prepared;
}

}  // namespace prefscore
