// SPDX-License-Identifier: Apache-2.0
// The domain of scoring: what a caller asks for a pair or a prompt, and what is found. Plain data, no gRPC.
//
// Conventions: log-probabilities are natural logs; completion 0 of a pair is the chosen one, completion 1 the rejected.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "server/models/causal_lm.h"
#include "server/objectives/head_logps.h"
#include "server/objectives/objective.h"
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

// Ids that are fit to be scored, and how they came about.
struct PreparedGroup {
  PromptGroup ids;
  TokenizationNotes notes;
};

struct CompletionScore {
  double logp = 0;                  // nats, summed over tokens in float64, in token order
  std::vector<double> token_logps;  // [num_completion_tokens]
  bool is_from_cache = false;       // computed by an earlier call
};

// What a call does with the cache of log-probs.
enum class CacheMode { kReadWrite, kBypass, kRefresh, kReadOnly };  // refresh: compute, and replace what is cached

// --- completions
// -------------------------------------------------------------------------------------------------------

struct GroupRequest {
  GroupContent content;
};

struct GroupOutcome {
  absl::Status status;
  std::vector<PreparedGroup> prepared;               // one per completion, each with its own prompt boundary
  std::vector<std::vector<CompletionScore>> scores;  // [models][completions]
};

// --- pairs
// -------------------------------------------------------------------------------------------------------------

// [model: 0 policy, 1 reference][completion: 0 chosen, 1 rejected]; set where the caller knows the log-prob.
using KnownLogProbs = std::array<std::array<std::optional<double>, 2>, 2>;

struct PairRequest {
  GroupContent content;  // two completions; ignored where all log-probs that the call wants are known
  KnownLogProbs known;
  // Whether the completion is that of the pair. Not where it was left out, since its log-probs are known, and the other
  // one stands in for it.
  std::array<bool, 2> is_sent = {true, true};
  double score_gap = kUnknown;
};

struct PairOutcome {
  absl::Status status;
  PreparedGroup prepared;                  // empty where no model was needed
  PairInputs inputs;                       // the log-probs, and what else objectives read
  std::vector<ObjectiveValue> objectives;  // as requested
  PairTokenLogps token_logps;              // empty where the log-prob was known to the caller
  std::array<std::array<bool, 2>, 2> is_from_cache = {};  // [model][completion], as in KnownLogProbs
};

// All pairs of a call. Where a pair failed, it is no part of the batch of a batch objective.
struct PairOutcomes {
  std::vector<PairOutcome> pairs;
  std::vector<BatchState> batch_states;  // one per objective
};

}  // namespace prefscore
