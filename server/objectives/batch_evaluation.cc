// SPDX-License-Identifier: Apache-2.0
#include "server/objectives/batch_evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "server/objectives/exact_sum.h"
#include "server/objectives/kernels/rewards.h"
#include "server/objectives/registry.h"

namespace prefscore {
namespace {

using Block = std::array<double, kPairsPerBlock>;

alignas(64) constexpr Block kZeros{};

ComputeRewardsFunction ComputeRewards() {
  return BestInstructionSet() == InstructionSet::kAvx512 ? &ComputeRewardsAvx512 : &ComputeRewardsAvx2;
}

// A block of columns as a kernel reads it, with the memory that it points to.
class BlockInput {
 public:
  BlockInput(const ObjectiveDefinition& definition, const KernelParameterArray& parameters)
      : definition_(definition), parameters_(parameters) {
    input_.parameters = parameters_.data();
  }

  // Log-probs as they are, and no rewards.
  const KernelInput& LoadPairs(const PairColumns& pairs, std::size_t begin) {
    input_.num_pairs = std::min(kPairsPerBlock, pairs.num_pairs - begin);
    for (std::size_t column = 0; column < kNumPairColumns; ++column) {
      input_.pairs[column] = pairs.columns[column] == nullptr ? kZeros.data() : pairs.columns[column] + begin;
    }
    // An objective without reference must not see the one that its neighbours in a sum or a request have.
    if ((definition_.needs & kReference) == 0) {
      input_.pairs[kReferenceChosenLogp] = kZeros.data();
      input_.pairs[kReferenceRejectedLogp] = kZeros.data();
    }
    if (definition_.replace_logps != nullptr) {
      double* const logps[4] = {logps_[0].data(), logps_[1].data(), logps_[2].data(), logps_[3].data()};
      definition_.replace_logps(input_, logps);
      std::copy(logps, logps + 4, input_.pairs + kPolicyChosenLogp);
    }
    return input_;
  }

  const KernelInput& Load(const PairColumns& pairs, std::size_t begin) {
    LoadPairs(pairs, begin);
    const double beta = parameters_[kBeta];
    const double gamma = parameters_[kGamma];
    const RewardColumns rewards = {logit_.data(),          chosen_reward_.data(),       chosen_reward_low_.data(),
                                   rejected_reward_.data(), rejected_reward_low_.data(), is_inexact_.data()};
    ComputeRewards()(input_.pairs + kPolicyChosenLogp, beta, gamma, input_.num_pairs, rewards);
    for (std::size_t i = 0; i < input_.num_pairs; ++i) {
      if (is_inexact_[i] != 0) ComputeExactly(i);
    }
    input_.logit = logit_.data();
    input_.chosen_reward = chosen_reward_.data();
    input_.chosen_reward_low = chosen_reward_low_.data();
    input_.rejected_reward = rejected_reward_.data();
    input_.rejected_reward_low = rejected_reward_low_.data();
    return input_;
  }

 private:
  void ComputeExactly(std::size_t i) {
    const Product policy_chosen = {parameters_[kBeta], input_.pairs[kPolicyChosenLogp][i]};
    const Product policy_rejected = {-parameters_[kBeta], input_.pairs[kPolicyRejectedLogp][i]};
    const Product reference_chosen = {-parameters_[kGamma], input_.pairs[kReferenceChosenLogp][i]};
    const Product reference_rejected = {parameters_[kGamma], input_.pairs[kReferenceRejectedLogp][i]};
    logit_[i] = SumOfProducts<4>({policy_chosen, policy_rejected, reference_chosen, reference_rejected});
    chosen_reward_[i] = SumOfProducts<2>({policy_chosen, reference_chosen});
    rejected_reward_[i] = -SumOfProducts<2>({policy_rejected, reference_rejected});
    if (!std::isfinite(chosen_reward_low_[i])) chosen_reward_low_[i] = 0;
    if (!std::isfinite(rejected_reward_low_[i])) rejected_reward_low_[i] = 0;
  }

  const ObjectiveDefinition& definition_;
  const KernelParameterArray& parameters_;
  KernelInput input_{};
  alignas(64) std::array<Block, 4> logps_;
  alignas(64) Block logit_;
  alignas(64) Block chosen_reward_;
  alignas(64) Block chosen_reward_low_;
  alignas(64) Block rejected_reward_;
  alignas(64) Block rejected_reward_low_;
  alignas(64) Block is_inexact_;
};

std::array<double*, kNumObjectiveColumns> At(const ObjectiveColumns& values, std::size_t begin) {
  std::array<double*, kNumObjectiveColumns> columns = values.columns;
  for (double*& column : columns) column += begin;
  return columns;
}

std::vector<std::size_t> Order(const double* values, std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [values](std::size_t x, std::size_t y) { return values[x] < values[y]; });
  return order;
}

void MatchByRank(const double* xs, const double* ys, std::size_t count, std::size_t* partners) {
  const std::vector<std::size_t> order_of_xs = Order(xs, count);
  const std::vector<std::size_t> order_of_ys = Order(ys, count);
  for (std::size_t rank = 0; rank < count; ++rank) partners[order_of_xs[rank]] = order_of_ys[rank];
}

void MarkSmallest(double* values, std::size_t count, std::size_t num_marked) {
  const std::vector<std::size_t> order = Order(values, count);
  for (std::size_t rank = 0; rank < count; ++rank) values[order[rank]] = rank < num_marked ? 1.0 : 0.0;
}

std::vector<double> Gather(const double* column, const std::vector<std::size_t>& indices) {
  std::vector<double> gathered(indices.size());
  for (std::size_t i = 0; i < indices.size(); ++i) gathered[i] = column[indices[i]];
  return gathered;
}

}  // namespace

void EvaluatePairs(const ObjectiveDefinition& definition, const KernelParameterArray& parameters,
                   const PairColumns& pairs, const ObjectiveColumns& values) {
  const ObjectiveKernels& kernels = KernelsOf(definition);
  BlockInput block(definition, parameters);
  for (std::size_t begin = 0; begin < pairs.num_pairs; begin += kPairsPerBlock) {
    kernels.evaluate(block.Load(pairs, begin), At(values, begin).data());
  }
}

void EvaluatePairsFast(const ObjectiveDefinition& definition, const KernelParameterArray& parameters,
                       const PairColumns& pairs, const FastOutput& values) {
  const ObjectiveKernels& kernels = KernelsOf(definition);
  BlockInput block(definition, parameters);
  for (std::size_t begin = 0; begin < pairs.num_pairs; begin += kPairsPerBlock) {
    kernels.evaluate_fast(block.LoadPairs(pairs, begin), {values.loss + begin, values.logit + begin,
                                                          values.by_policy_chosen + begin,
                                                          values.by_policy_rejected + begin});
  }
}

void EvaluateBatch(const ObjectiveDefinition& definition, KernelParameterArray parameters, const PairColumns& pairs,
                   const ObjectiveColumns& values, BatchState* state) {
  const std::size_t count = pairs.num_pairs;
  std::vector<double> logits(count), chosen_rewards(count), rejected_rewards(count), weights(count, 1.0);
  std::vector<double> policy_margins(count), reference_margins(count);
  BlockInput block(definition, parameters);
  for (std::size_t begin = 0; begin < count; begin += kPairsPerBlock) {
    const KernelInput& input = block.Load(pairs, begin);
    std::copy_n(input.logit, input.num_pairs, logits.begin() + begin);
    std::copy_n(input.chosen_reward, input.num_pairs, chosen_rewards.begin() + begin);
    std::copy_n(input.rejected_reward, input.num_pairs, rejected_rewards.begin() + begin);
  }
  for (std::size_t i = 0; i < count; ++i) {
    policy_margins[i] = pairs.columns[kPolicyChosenLogp][i] - pairs.columns[kPolicyRejectedLogp][i];
    reference_margins[i] = pairs.columns[kReferenceChosenLogp][i] - pairs.columns[kReferenceRejectedLogp][i];
  }

  std::vector<std::size_t> reference_of_pair(count), rejected_of_pair(count);
  std::iota(reference_of_pair.begin(), reference_of_pair.end(), 0);
  std::iota(rejected_of_pair.begin(), rejected_of_pair.end(), 0);
  BatchState found_state;
  definition.prepare_batch(
      {count, logits.data(), chosen_rewards.data(), rejected_rewards.data(), policy_margins.data(),
       reference_margins.data(), parameters.data()},
      {&parameters[kBatch], reference_of_pair.data(), rejected_of_pair.data(), weights.data(), &MatchByRank,
       &MarkSmallest,
       [](void* context, const char* name, double value) { (*static_cast<BatchState*>(context))[name] = value; },
       &found_state});
  if (state != nullptr) state->insert(found_state.begin(), found_state.end());

  // A rejected completion comes with its own reference log-prob, unless the references are matched by themselves.
  std::vector<std::size_t> rejected_reference(count);
  for (std::size_t i = 0; i < count; ++i) rejected_reference[i] = reference_of_pair[rejected_of_pair[i]];
  const std::vector<double> policy_rejected = Gather(pairs.columns[kPolicyRejectedLogp], rejected_of_pair);
  const std::vector<double> reference_chosen = Gather(pairs.columns[kReferenceChosenLogp], reference_of_pair);
  const std::vector<double> reference_rejected = Gather(pairs.columns[kReferenceRejectedLogp], rejected_reference);
  PairColumns matched = pairs;
  matched.columns[kPolicyRejectedLogp] = policy_rejected.data();
  matched.columns[kReferenceChosenLogp] = reference_chosen.data();
  matched.columns[kReferenceRejectedLogp] = reference_rejected.data();
  EvaluatePairs(definition, parameters, matched, values);

  std::vector<double> by_rejected(count);
  for (std::size_t i = 0; i < count; ++i) {
    for (const ObjectiveColumn column : {kLoss, kLossByPolicyChosenLogp, kLossByPolicyRejectedLogp, kLossByBeta,
                                         kLossByGamma}) {
      values.columns[column][i] = weights[i] == 0 ? 0.0 : weights[i] * values.columns[column][i];
    }
    by_rejected[rejected_of_pair[i]] = values.columns[kLossByPolicyRejectedLogp][i];
  }
  std::copy(by_rejected.begin(), by_rejected.end(), values.columns[kLossByPolicyRejectedLogp]);
}

void EvaluateSum(const std::vector<std::pair<double, Objective>>& terms, const PairColumns& pairs,
                 const ObjectiveColumns& values, BatchState* state) {
  constexpr ObjectiveColumn kSummed[] = {kLoss, kLossByPolicyChosenLogp, kLossByPolicyRejectedLogp, kLossByBeta,
                                         kLossByGamma};
  const std::size_t count = pairs.num_pairs;
  std::vector<double> memory(count * kNumObjectiveColumns);
  ObjectiveColumns term_values;
  for (std::size_t column = 0; column < kNumObjectiveColumns; ++column) {
    term_values.columns[column] = memory.data() + column * count;
  }
  for (std::size_t idx = 0; idx < terms.size(); ++idx) {
    const auto& [weight, term] = terms[idx];
    term.Evaluate(pairs, idx == 0 ? values : term_values, state);
    for (const ObjectiveColumn column : kSummed) {
      double* sum = values.columns[column];
      const double* added = term_values.columns[column];
      for (std::size_t i = 0; i < count; ++i) sum[i] = idx == 0 ? weight * sum[i] : sum[i] + weight * added[i];
    }
  }
}

void EvaluateSumFast(const std::vector<std::pair<double, Objective>>& terms, const PairColumns& pairs,
                     const FastOutput& values) {
  const std::size_t count = pairs.num_pairs;
  std::vector<double> memory(count * 4);
  const FastOutput term_values = {memory.data(), memory.data() + count, memory.data() + 2 * count,
                                  memory.data() + 3 * count};
  for (std::size_t idx = 0; idx < terms.size(); ++idx) {
    const auto& [weight, term] = terms[idx];
    const FastOutput& target = idx == 0 ? values : term_values;
    term.EvaluateFast(pairs, target.loss, target.logit, target.by_policy_chosen, target.by_policy_rejected);
    for (const auto& [sum, added] : {std::pair(values.loss, term_values.loss),
                                     std::pair(values.by_policy_chosen, term_values.by_policy_chosen),
                                     std::pair(values.by_policy_rejected, term_values.by_policy_rejected)}) {
      for (std::size_t i = 0; i < count; ++i) sum[i] = idx == 0 ? weight * sum[i] : sum[i] + weight * added[i];
    }
  }
}

}  // namespace prefscore
