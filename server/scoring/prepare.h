// SPDX-License-Identifier: Apache-2.0
// From what a caller sent to ids that are fit to be scored: tokenisation as TRL does it, checks, truncation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/types.h"

namespace prefscore {

// What a group must respect to be scored under all the models of a call.
struct PrepareOptions {
  std::vector<const HostedModel*> models;  // text is tokenised by the first one's tokenizer, shared by all
  LengthOptions length;
};

// Ids that are fit to be scored, and how they came about.
struct PreparedGroup {
  PromptGroup ids;
  TokenizationNotes notes;
};

// `names` are the completions' field names. FAILED_PRECONDITION: text for a model without a tokenizer, or for models
// whose tokenizers differ. Otherwise a FieldError that names "prompt" or one of `names`.
absl::StatusOr<PreparedGroup> PreparePair(GroupContent content, const std::vector<std::string>& names,
                                          const PrepareOptions& options);

// One PreparedGroup per completion: each completion's prompt boundary is its own. Their names are "completions[i]".
absl::StatusOr<std::vector<PreparedGroup>> PrepareCompletions(GroupContent content, const PrepareOptions& options);

// Cuts `ids` to `max_length` tokens per prompt + completion, by policy, and notes what was cut. `names` are the
// completions' field names. FieldError where the policy is kError or nothing would be left.
absl::Status Truncate(PromptGroup& ids, std::int64_t max_length, TruncationPolicy policy,
                      const std::vector<std::string>& names, TokenizationNotes& notes);

}  // namespace prefscore
