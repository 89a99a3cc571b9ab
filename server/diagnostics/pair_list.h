// SPDX-License-Identifier: Apache-2.0
// The few pairs of a slice to look at, those that come first in some order of their values; of equal values those whose
// id comes first, then those with the smaller log-probs. A function of the set of pairs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "server/diagnostics/pair_block.h"
#include "server/diagnostics/report.h"
#include "server/diagnostics/smallest.h"

namespace prefscore {

class PairList {
 public:
  enum class Order { kAscending, kDescending, kById };  // kById: the values do not count

  PairList(Order order, std::size_t capacity) : order_(order), entries_(capacity) {}

  // The pair at `index`.
  void Offer(const SortedBlock& block, std::size_t index, double value);
  // All pairs of a block whose value comes before `bound`. values: [num_pairs], no NaN.
  void OfferAll(const SortedBlock& block, const double* values, double bound);
  void Merge(PairList&& other) { entries_.Merge(std::move(other.entries_)); }

  std::vector<ListedPair> Report() const;

 private:
  struct Entry {
    double rank;  // ascending in the order of the list
    std::string id;
    PairLogProbs logps;
    double value;
    bool operator<(const Entry& other) const;
  };

  double RankOf(double value) const;

  Order order_;
  Smallest<Entry> entries_;
};

}  // namespace prefscore
