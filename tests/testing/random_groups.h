// SPDX-License-Identifier: Apache-2.0
// Random token ids for tests.
#pragma once

#include <algorithm>
#include <random>
#include <vector>

#include "server/models/causal_lm.h"

namespace prefscore::testing {

// 1 to max_length tokens; every fourth sequence has 1.
inline TokenIds RandomTokens(std::mt19937& random, std::int64_t max_length, std::int64_t vocab_size) {
  TokenIds tokens(random() % 4 == 0 ? 1 : 1 + random() % max_length);
  for (TokenId& token : tokens) token = random() % vocab_size;
  return tokens;
}

inline PromptGroup RandomGroup(std::mt19937& random, std::int64_t max_length, std::int64_t vocab_size,
                               int num_completions = 2) {
  PromptGroup group{RandomTokens(random, max_length, vocab_size), {}};
  for (int i = 0; i < num_completions; ++i) {
    group.completions.push_back(RandomTokens(random, max_length, vocab_size));
  }
  return group;
}

inline std::vector<const PromptGroup*> Pointers(const std::vector<PromptGroup>& groups) {
  std::vector<const PromptGroup*> pointers;
  for (const PromptGroup& group : groups) pointers.push_back(&group);
  return pointers;
}

// The first tokens that greedy decoding gives after the prompt, found without its own flag: every token is tried, and the
// most probable one taken.
inline TokenIds GreedyCompletion(const CausalLm& model, TokenIds prompt, int num_tokens) {
  TokenIds completion;
  for (int i = 0; i < num_tokens; ++i) {
    PromptGroup group{prompt, {}};
    for (TokenId token = 0; token < model.info().vocab_size; ++token) group.completions.push_back({token});
    const GroupTokenLogProbs scores = (*model.Forward(std::vector<const PromptGroup*>{&group})).front();
    const auto best = std::max_element(scores.begin(), scores.end(), [](const auto& a, const auto& b) {
      return a.token_logps.front() < b.token_logps.front();
    });
    completion.push_back(static_cast<TokenId>(best - scores.begin()));
    prompt.push_back(completion.back());
  }
  return completion;
}

}  // namespace prefscore::testing
