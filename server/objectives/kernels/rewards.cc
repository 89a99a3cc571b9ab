// SPDX-License-Identifier: Apache-2.0
// Products and sums are split into exact pairs of doubles (T. J. Dekker, "A floating-point technique for extending the
// available precision", 1971; D. E. Knuth's two-sum), so z is right unless all but the last 2^-50 of its terms cancels.
#include "server/objectives/kernels/rewards.h"

#include "server/objectives/kernels/vector_math.h"

namespace prefscore {
namespace {

struct Exact {
  double high;
  double low;
};

PREFSCORE_INLINE Exact TwoProduct(double x, double y) {
  const double high = x * y;
  return {high, __builtin_fma(x, y, -high)};
}

PREFSCORE_INLINE Exact TwoSum(double x, double y) {
  const double sum = x + y;
  const double shadow = sum - x;
  return {sum, (x - (sum - shadow)) + (y - shadow)};
}

PREFSCORE_INLINE void ComputeRewards(const double* const* logps, double beta, double gamma, size_t num_pairs,
                                     const RewardColumns& rewards) {
  const double* const policy_chosen = logps[0];
  const double* const policy_rejected = logps[1];
  const double* const reference_chosen = logps[2];
  const double* const reference_rejected = logps[3];
  const RewardColumns out = rewards;
#pragma GCC ivdep
  for (size_t i = 0; i < num_pairs; ++i) {
    const Exact pc = TwoProduct(beta, policy_chosen[i]);
    const Exact pr = TwoProduct(-beta, policy_rejected[i]);
    const Exact rc = TwoProduct(-gamma, reference_chosen[i]);
    const Exact rr = TwoProduct(gamma, reference_rejected[i]);
    // By completion first: a policy that equals its reference cancels to 0 there, with nothing left over.
    const Exact chosen = TwoSum(pc.high, rc.high);
    const Exact rejected = TwoSum(pr.high, rr.high);
    const Exact sum = TwoSum(chosen.high, rejected.high);
    const double chosen_low = chosen.low + (pc.low + rc.low);
    const double rejected_low = rejected.low + (pr.low + rr.low);
    const double z = sum.high + (sum.low + (chosen_low + rejected_low));

    const double chosen_largest = Abs(pc.high) + Abs(rc.high);
    const double rejected_largest = Abs(pr.high) + Abs(rr.high);
    const double chosen_rest = Abs(chosen.low) + (Abs(pc.low + rc.low));
    const double rejected_rest = Abs(rejected.low) + (Abs(pr.low + rr.low));
    const double chosen_reward = chosen.high + chosen_low;
    const double rejected_reward = rejected.high + rejected_low;
    const bool is_chosen_inexact = (Abs(chosen_reward) <= chosen_largest * 0x1p-50) & (chosen_rest != 0);
    const bool is_rejected_inexact = (Abs(rejected_reward) <= rejected_largest * 0x1p-50) & (rejected_rest != 0);
    const bool is_logit_inexact = (Abs(z) <= (chosen_largest + rejected_largest) * 0x1p-50) &
                                  (Abs(sum.low) + chosen_rest + rejected_rest != 0);
    const bool is_finite = Abs(z) + Abs(chosen_reward) + Abs(rejected_reward) < __builtin_inf();
    out.logit[i] = z;
    out.chosen_reward[i] = chosen_reward;
    out.chosen_reward_low[i] = (chosen.high - chosen_reward) + chosen_low;
    out.rejected_reward[i] = -rejected_reward;
    out.rejected_reward_low[i] = -((rejected.high - rejected_reward) + rejected_low);
    out.is_inexact[i] = (is_chosen_inexact | is_rejected_inexact | is_logit_inexact | !is_finite) ? 1.0 : 0.0;
  }
}

}  // namespace

#define PREFSCORE_COMPUTE_REWARDS_(Set) ComputeRewards##Set
#define PREFSCORE_COMPUTE_REWARDS(Set) PREFSCORE_COMPUTE_REWARDS_(Set)
void PREFSCORE_COMPUTE_REWARDS(PREFSCORE_INSTRUCTION_SET)(const double* const* logps, double beta, double gamma,
                                                          size_t num_pairs, const RewardColumns& rewards) {
  ComputeRewards(logps, beta, gamma, num_pairs, rewards);
}

}  // namespace prefscore
