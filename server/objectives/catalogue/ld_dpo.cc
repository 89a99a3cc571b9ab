// SPDX-License-Identifier: Apache-2.0
// Length-desensitised DPO: what the longer completion has beyond the shorter one counts ld_alpha.
//
//   x' = head + ld_alpha * (x - head),  head: log-prob of the first min(lc, lr) tokens,  for pc, pr, rc, rr
//   loss = softplus(-z'),  z' = beta*(pc' - pr') - gamma*(rc' - rr')
//
// Rewards, margins and derivatives are those of the primed log-probs: a token of the tail has ld_alpha times the
// derivative. W. Liu et al., "Length Desensitization in Direct Preference Optimization", arXiv 2409.06411. ld_models
// tells whose log-probs are primed: TRL since 0.29 primes policy and reference; TRL up to 0.28, LLaMA-Factory and
// ms-swift the policy's only.
#include "server/objectives/kernels/kernel.h"

namespace prefscore {
namespace {

constexpr const char* kModelChoices[] = {"policy_and_reference", "policy", nullptr};

void ReplaceLogps(const KernelInput& input, double* const* logps) {
  const double alpha = input.parameters[kOwn];
  const size_t num_replaced = input.parameters[kOwn + 1] == 0 ? 4 : 2;
  for (size_t column = 0; column < 4; ++column) {
    const double* whole = input.pairs[kPolicyChosenLogp + column];
    const double* head = input.pairs[kPolicyChosenHeadLogp + column];
    for (size_t i = 0; i < input.num_pairs; ++i) {
      logps[column][i] = column < num_replaced ? alpha * whole[i] + (1.0 - alpha) * head[i] : whole[i];
    }
  }
}

struct LdDpoObjective {
  static constexpr ObjectiveDefinition kDefinition = {
      .name = "ld_dpo",
      .formula = "softplus(-z') of log-probs x' = head + ld_alpha (x - head)",
      .source = "LD-DPO, arXiv 2409.06411",
      .needs = kReference | kHeads,
      .parameters = {{.name = "ld_alpha",
                      .default_value = 0.5,
                      .minimum = 0.0,
                      .maximum = 1.0,
                      .meaning = "weight of the longer completion's tail",
                      .source = "TRL's name; the paper suggests about 0.5"},
                     {.name = "ld_models",
                      .default_value = 0,
                      .meaning = "whose log-probs lose weight",
                      .source = "ours",
                      .choices = kModelChoices}},
      .replace_logps = &ReplaceLogps,
  };

  template <typename Pair>
  static PREFSCORE_INLINE auto Evaluate(const Pair& pair, const double* own) {
    const auto z = pair.Logit();
    return OutcomeOf(pair, Softplus(-z), z);
  }
};

}  // namespace
}  // namespace prefscore

PREFSCORE_OBJECTIVE(LdDpoObjective)
