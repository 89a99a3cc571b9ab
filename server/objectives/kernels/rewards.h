// SPDX-License-Identifier: Apache-2.0
// The part of all objectives that is linear in the log-probs, exact however much cancels:
//
//   R+ = beta*pc - gamma*rc,  R- = beta*pr - gamma*rr,  z = R+ - R-
#pragma once

#include <stddef.h>

namespace prefscore {

struct RewardColumns {  // [num_pairs] each
  double* logit;
  double* chosen_reward;
  double* chosen_reward_low;  // the reward is the sum of both, to twice the precision of a double
  double* rejected_reward;
  double* rejected_reward_low;
  double* is_inexact;  // 1 where more cancelled than doubled precision can tell
};

// logps: pc, pr, rc, rr, [num_pairs] each. One version per instruction set; their bits are equal.
using ComputeRewardsFunction = void (*)(const double* const* logps, double beta, double gamma, size_t num_pairs,
                                        const RewardColumns& rewards);
void ComputeRewardsAvx2(const double* const* logps, double beta, double gamma, size_t num_pairs,
                        const RewardColumns& rewards);
void ComputeRewardsAvx512(const double* const* logps, double beta, double gamma, size_t num_pairs,
                          const RewardColumns& rewards);

}  // namespace prefscore
