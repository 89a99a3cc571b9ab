// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/pair_list.h"

#include <cmath>
#include <limits>
#include <tuple>

namespace prefscore {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Unknown log-probs come after all known ones, which are at most 0.
auto SortKey(double rank, std::string_view id, const PairLogProbs& logps) {
  const auto known = [](double logp) { return std::isnan(logp) ? 1.0 : logp; };
  return std::tuple(rank, id, logps.policy_chosen_logp, logps.policy_rejected_logp, known(logps.reference_chosen_logp),
                    known(logps.reference_rejected_logp));
}

}  // namespace

bool PairList::Entry::operator<(const Entry& other) const {
  return SortKey(rank, id, logps) < SortKey(other.rank, other.id, other.logps);
}

double PairList::RankOf(double value) const {
  switch (order_) {
    case Order::kAscending: return value;
    case Order::kDescending: return -value;
    case Order::kById: break;
  }
  return 0;
}

void PairList::Offer(const SortedBlock& block, std::size_t index, double value) {
  const double rank = RankOf(value);
  const PairLogProbs logps = block.logps(index);
  if (entries_.is_full()) {  // most pairs go no further, and no id is copied for them
    const Entry& last = entries_.largest();
    if (!(SortKey(rank, block.id(index), logps) < SortKey(last.rank, last.id, last.logps))) return;
  }
  entries_.Add({rank, std::string(block.id(index)), logps, value});
}

void PairList::OfferAll(const SortedBlock& block, const double* values, double bound) {
  const std::size_t count = block.num_pairs();
  if (entries_.is_full() && order_ != Order::kById) {
    const ColumnKernels& kernels = Kernels().columns;
    const double last = entries_.largest().value;
    const bool may_enter = order_ == Order::kAscending
                               ? kernels.count_below(values, count, std::nextafter(last, kInfinity)) > 0
                               : kernels.count_above(values, count, std::nextafter(last, -kInfinity)) > 0;
    if (!may_enter) return;
  }
  const double rank_bound = RankOf(bound);
  for (std::size_t i = 0; i < count; ++i) {
    const double rank = RankOf(values[i]);
    if (rank < rank_bound && !(entries_.is_full() && rank > entries_.largest().rank)) Offer(block, i, values[i]);
  }
}

std::vector<ListedPair> PairList::Report() const {
  std::vector<ListedPair> pairs;
  for (const Entry& entry : entries_.Sorted()) {
    const PairMargins margins = ComputeMargins(entry.logps);
    ListedPair pair = {
        .id = entry.id, .policy_margin = margins.policy_margin, .value = entry.value + 0.0};  // -0 becomes 0
    if (!std::isnan(margins.reference_margin)) pair.reference_margin = margins.reference_margin;
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace prefscore
