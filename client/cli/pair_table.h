// SPDX-License-Identifier: Apache-2.0
// The first scored pairs of a run as a table for people. Not thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

class PairTable {
 public:
  explicit PairTable(std::size_t max_rows) : max_rows_(max_rows) {}

  void Add(const v1::PairResult& result);  // those beyond max_rows are left out

  // Per pair: id, h and h0 (the margins of policy and reference, nats), loss and reward margin of the first
  // objective, token counts, and its learning cell: whether policy and reference rank the pair as the annotator did.
  // "" without rows.
  std::string Text() const;

 private:
  const std::size_t max_rows_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace prefscore::cli
