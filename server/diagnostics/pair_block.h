// SPDX-License-Identifier: Apache-2.0
// Pairs that wait to be added to totals, at most kMaxBlock of them; as small as they are few. And the same pairs laid
// out for loops: sorted by cell, column by column.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/diagnostics/kernels/kernels.h"
#include "server/diagnostics/learning_cells.h"
#include "server/objectives/objective.h"
#include "server/objectives/pair_columns.h"

namespace prefscore {

// A pair as a block keeps it: numbers in the order of PairColumn, of which a block stores the first few.
struct PairRow {
  explicit PairRow(const PairInputs& inputs);

  std::array<double, kNumPairColumns> numbers;
  std::uint8_t cell;  // kNoReferenceCell where either log-prob of the reference is unknown
};

class PairBlock {
 public:
  // Stores `num_columns` numbers per pair, those of the log-probs at least.
  explicit PairBlock(std::size_t num_columns) : num_columns_(num_columns) {}

  std::size_t size() const { return cells_.size(); }
  bool is_full() const { return size() == kMaxBlock; }

  // REQUIRES: not is_full().
  void Add(const PairRow& row, std::string_view id) { Add(row.numbers.data(), row.cell, id); }
  void AddFrom(const PairBlock& other, std::size_t index) {
    Add(other.numbers(index), other.cell(index), other.id(index));
  }
  void Clear();

  const double* numbers(std::size_t index) const { return numbers_.data() + index * num_columns_; }
  std::uint8_t cell(std::size_t index) const { return cells_[index]; }
  std::string_view id(std::size_t index) const;
  std::size_t num_columns() const { return num_columns_; }

 private:
  void Add(const double* numbers, std::uint8_t cell, std::string_view id);

  std::size_t num_columns_;
  std::vector<double> numbers_;  // [size, num_columns]
  std::vector<std::uint8_t> cells_;
  std::string ids_;  // one after the other
  std::vector<std::size_t> id_ends_;
};

// More than a block, so that columns side by side do not all start at the same place of a page: the first cache holds
// no more than eight such lines.
using BlockColumn = std::array<double, kMaxBlock + 72>;

// A view of a PairBlock, with memory of its own for the columns.
class SortedBlock {
 public:
  SortedBlock();

  // REQUIRES: `block` outlives the use of this, and is not empty.
  void Assign(const PairBlock& block);

  std::size_t num_pairs() const { return begins_.back(); }
  // Those come first.
  std::size_t num_with_reference() const { return begins_[kNoReferenceCell]; }
  std::size_t begin_of(std::size_t cell) const { return begins_[cell]; }
  std::size_t end_of(std::size_t cell) const { return begins_[cell + 1]; }

  // [num_pairs]; null: not stored. Those of the reference end with num_with_reference.
  PairColumns Columns() const;
  const double* column(PairColumn which) const { return columns_->at(which).data(); }

  // [num_pairs] h and, of those with reference, h0, a, b.
  const double* policy_margins() const { return margins_->at(0).data(); }
  const double* reference_margins() const { return margins_->at(1).data(); }
  const double* chosen_logratios() const { return margins_->at(2).data(); }
  const double* rejected_logratios() const { return margins_->at(3).data(); }

  std::string_view id(std::size_t index) const { return block_->id(order_[index]); }
  PairLogProbs logps(std::size_t index) const;

  // The pairs whose positions are marked, as a block.
  PairBlock Marked(const std::vector<bool>& marks) const;

 private:
  const PairBlock* block_ = nullptr;
  std::array<std::uint16_t, kMaxBlock> order_;  // of the block's pairs
  std::array<std::size_t, kNumCellGroups + 1> begins_{};
  std::unique_ptr<std::array<BlockColumn, kNumPairColumns>> columns_;
  std::unique_ptr<std::array<BlockColumn, 4>> margins_;
};

}  // namespace prefscore
