// SPDX-License-Identifier: Apache-2.0
// Pairs as objectives read them, and values as they write them: column by column, so that a whole register of pairs is
// evaluated at once. Plain pointers, nothing is owned.
#pragma once

#include <array>
#include <cstddef>

namespace prefscore {

// What is known of a pair. Log-probabilities are nats, <= 0.
enum PairColumn {
  // Summed over all tokens of the completion.
  kPolicyChosenLogp,
  kPolicyRejectedLogp,
  kReferenceChosenLogp,
  kReferenceRejectedLogp,
  // Tokens of the completion, >= 1.
  kNumChosenTokens,
  kNumRejectedTokens,
  // Score of the chosen completion less that of the rejected one, by whatever judged them; > 0.
  kScoreGap,
  // Summed over the first min(num_chosen_tokens, num_rejected_tokens) tokens: the part that both completions have.
  kPolicyChosenHeadLogp,
  kPolicyRejectedHeadLogp,
  kReferenceChosenHeadLogp,
  kReferenceRejectedHeadLogp,
  kNumPairColumns,
};

struct PairColumns {
  std::array<const double*, kNumPairColumns> columns{};  // [num_pairs] each; null: not known
  std::size_t num_pairs = 0;
};

// What an objective says of a pair. With pc, pr the policy's log-probs of chosen and rejected, rc, rr the reference's:
enum ObjectiveColumn {
  kLoss,
  kLogit,            // the argument of the loss: beta*(pc - pr) - gamma*(rc - rr) unless the objective's file says more
  kChosenReward,     // beta*pc - gamma*rc
  kRejectedReward,   // beta*pr - gamma*rr
  kRequiredMargin,   // pc - pr from which on the logit is >= 0, nats (per token where the objective averages)
  kEffectiveMargin,  // the logit in nats of the policy's margin: logit / beta
  kGradientWeight,   // sigmoid(-logit)
  kLossByPolicyChosenLogp,    // d loss / d pc
  kLossByPolicyRejectedLogp,  // d loss / d pr
  kLossByBeta,                // d loss / d beta, gamma held
  kLossByGamma,               // d loss / d gamma, beta held
  kNumObjectiveColumns,
};

struct ObjectiveColumns {
  std::array<double*, kNumObjectiveColumns> columns{};  // [num_pairs] each
};

}  // namespace prefscore
