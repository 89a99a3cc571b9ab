// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace prefscore {

// What a model says of one completion after its prompt.
struct CompletionLogProbs {
  std::vector<double> token_logps;  // log p(token | everything before it), nats. [num_completion_tokens]
  // Each token is the one with the largest logit there, of equal logits the lowest id: what greedy decoding gives.
  bool is_greedy_match = false;

  friend bool operator==(const CompletionLogProbs&, const CompletionLogProbs&) = default;
};

}  // namespace prefscore
