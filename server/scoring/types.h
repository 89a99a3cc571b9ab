// SPDX-License-Identifier: Apache-2.0
// The domain of scoring: what a caller asks for a pair or a prompt, and what is found. Plain data, no gRPC.
//
// Conventions: log-probabilities are natural logs; completion 0 of a pair is the chosen one, completion 1 the rejected.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "server/models/causal_lm.h"
#include "server/objectives/head_logps.h"
#include "server/objectives/objective.h"
#include "server/scoring/call_report.h"
#include "server/tokenizer/trl_profile.h"

namespace prefscore {

inline constexpr std::size_t kChosen = 0;
inline constexpr std::size_t kRejected = 1;

// A prompt and its completions as the caller sent them: text or conversations, or ids.
using GroupContent = std::variant<TextGroup, PromptGroup>;

enum class TruncationPolicy { kError, kKeepStart, kKeepPromptEnd };
enum class TokenizationProfile { kTrl, kIds };

struct LengthOptions {
  TruncationPolicy policy = TruncationPolicy::kError;
  std::int64_t max_length = 0;  // prompt + completion, tokens; 0: the models' limit
};

// What tokenisation and truncation did. Vectors: one entry per completion.
struct TokenizationNotes {
  std::vector<bool> boundary_merged;
  std::int64_t num_unshared_prompt_tokens = 0;
  std::int64_t num_truncated_prompt_tokens = 0;
  std::vector<std::int64_t> num_truncated_completion_tokens;
  std::string template_date;
};

struct CompletionScore {
  double logp = 0;                  // nats, summed over tokens in float64, in token order
  std::vector<double> token_logps;  // [num_completion_tokens]
  bool is_greedy_match = false;     // as in CompletionLogProbs
  bool is_from_cache = false;       // computed by an earlier call
};

// What a call does with the cache of log-probs.
enum class CacheMode { kReadWrite, kBypass, kRefresh, kReadOnly };  // refresh: compute, and replace what is cached

// --- completions
// -------------------------------------------------------------------------------------------------------

struct GroupRequest {
  GroupContent content;  // gone once it is tokenised
};

// What a result tells of a completion beside its scores.
struct CompletionNotes {
  std::int64_t num_prompt_tokens = 0;  // up to this completion's own boundary
  std::int64_t num_completion_tokens = 0;
  bool boundary_merged = false;
  std::int64_t num_truncated_prompt_tokens = 0;
  std::int64_t num_truncated_completion_tokens = 0;
};

struct GroupOutcome {
  absl::Status status;
  std::vector<CompletionNotes> completions;          // one per completion
  std::vector<std::vector<CompletionScore>> scores;  // [models][completions]
};

// All prompts of a call.
struct GroupOutcomes {
  std::vector<GroupOutcome> prompts;
  CallReport report;
};

// --- pairs
// -------------------------------------------------------------------------------------------------------------

// [model: 0 policy, 1 reference][completion: 0 chosen, 1 rejected]; set where the caller knows the log-prob.
using KnownLogProbs = std::array<std::array<std::optional<double>, 2>, 2>;

struct PairRequest {
  // Two completions; ignored where all log-probs that the call wants are known. Gone once it is tokenised: what waits
  // holds ids.
  GroupContent content;
  KnownLogProbs known;
  // Whether the completion is that of the pair. Not where it was left out, since its log-probs are known, and the other
  // one stands in for it.
  std::array<bool, 2> is_sent = {true, true};
  double score_gap = kUnknown;
};

struct PairOutcome {
  absl::Status status;
  std::shared_ptr<const PromptGroup> ids;  // as scored; null where no model was needed
  TokenizationNotes notes;
  PairInputs inputs;                       // the log-probs, and what else objectives read
  std::vector<ObjectiveValue> objectives;  // as requested
  PairTokenLogps token_logps;              // empty where the log-prob was known to the caller
  std::array<std::array<bool, 2>, 2> is_from_cache = {};  // [model][completion], as in KnownLogProbs
};

// All pairs of a call. Where a pair failed, it is no part of the batch of a batch objective.
struct PairOutcomes {
  std::vector<PairOutcome> pairs;
  std::vector<BatchState> batch_states;  // one per objective
  CallReport report;
};

}  // namespace prefscore
