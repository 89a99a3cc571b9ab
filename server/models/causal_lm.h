// SPDX-License-Identifier: Apache-2.0
// The contract that every model fulfils: prompt groups in, log-probabilities of their completions' tokens out.
//
// The prompt group is the unit of work: a prompt is computed once for all its completions, and never split over
// batches. Same ids, same bits: a completion's log-probs depend on the prompt's ids and its own ids only, not on its
// siblings, its batch, the order or the load.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/util/completion_log_probs.h"
#include "server/util/token.h"

namespace prefscore {

// One prompt and its N completions (N = 2 for a pair).
struct PromptGroup {
  TokenIds prompt;                    // at least one token: it predicts the first completion token
  std::vector<TokenIds> completions;  // each at least one token

  std::int64_t num_tokens() const {
    std::int64_t count = static_cast<std::int64_t>(prompt.size());
    for (const TokenIds& completion : completions) count += static_cast<std::int64_t>(completion.size());
    return count;
  }
};

// Of one group. [num_completions]
using GroupTokenLogProbs = std::vector<CompletionLogProbs>;

struct ModelInfo {
  std::string architecture;   // model_type of config.json
  std::string digest;         // SHA-256 (hex) over config and weights, independent of sharding
  std::string dtype;          // "float32" | "bfloat16"
  std::string numerics_mode;  // names the arithmetic; equal names promise equal bits
  // Whether the check at load found matrix products whose rows do not influence each other: what "same ids, same bits"
  // rests on. Where not, numbers may move with the batch by a rounding.
  bool same_bits_verified = false;
  std::int64_t num_parameters = 0;
  std::int64_t vocab_size = 0;
  std::int64_t max_context_tokens = 0;  // longest prompt + completion
};

// Thread-safe: Forward may be called from several threads at once.
class CausalLm {
 public:
  virtual ~CausalLm() = default;

  virtual const ModelInfo& info() const = 0;

  // One result per group, in order. REQUIRES: every prompt and completion is non-empty, every id < vocab_size, every
  // prompt + completion <= max_context_tokens; a violation is INVALID_ARGUMENT. Non-finite values are returned as they
  // are: judging them is the caller's.
  virtual absl::StatusOr<std::vector<GroupTokenLogProbs>> Forward(
      std::span<const PromptGroup* const> groups) const = 0;
};

}  // namespace prefscore
