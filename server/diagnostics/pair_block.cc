// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/pair_block.h"

#include <cmath>

namespace prefscore {
namespace {

// Position of a margin's ranking: right, tie, wrong.
std::size_t RankingOf(double margin) { return margin > 0 ? 0 : (margin < 0 ? 2 : 1); }

}  // namespace

PairRow::PairRow(const PairInputs& inputs)
    : numbers{inputs.logps.policy_chosen_logp,
              inputs.logps.policy_rejected_logp,
              inputs.logps.reference_chosen_logp,
              inputs.logps.reference_rejected_logp,
              inputs.num_chosen_tokens,
              inputs.num_rejected_tokens,
              inputs.score_gap,
              inputs.head_logps.policy_chosen_logp,
              inputs.head_logps.policy_rejected_logp,
              inputs.head_logps.reference_chosen_logp,
              inputs.head_logps.reference_rejected_logp} {
  const double policy_margin = inputs.logps.policy_chosen_logp - inputs.logps.policy_rejected_logp;
  const double reference_margin = inputs.logps.reference_chosen_logp - inputs.logps.reference_rejected_logp;
  cell = std::isnan(reference_margin)
             ? kNoReferenceCell
             : static_cast<std::uint8_t>(kNumRankings * RankingOf(policy_margin) + RankingOf(reference_margin));
}

void PairBlock::Add(const double* numbers, std::uint8_t cell, std::string_view id) {
  numbers_.insert(numbers_.end(), numbers, numbers + num_columns_);
  cells_.push_back(cell);
  ids_.append(id);
  id_ends_.push_back(ids_.size());
}

void PairBlock::Clear() {
  numbers_.clear();
  cells_.clear();
  ids_.clear();
  id_ends_.clear();
}

std::string_view PairBlock::id(std::size_t index) const {
  const std::size_t begin = index == 0 ? 0 : id_ends_[index - 1];
  return std::string_view(ids_).substr(begin, id_ends_[index] - begin);
}

SortedBlock::SortedBlock()
    : columns_(std::make_unique<std::array<BlockColumn, kNumPairColumns>>()),
      margins_(std::make_unique<std::array<BlockColumn, 4>>()) {}

void SortedBlock::Assign(const PairBlock& block) {
  block_ = &block;
  std::array<std::size_t, kNumCellGroups> next{};
  for (std::size_t i = 0; i < block.size(); ++i) ++next[block.cell(i)];
  std::size_t begin = 0;
  for (std::size_t cell = 0; cell < kNumCellGroups; ++cell) {
    begins_[cell] = begin;
    begin += next[cell];
    next[cell] = begins_[cell];
  }
  begins_.back() = begin;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const std::size_t position = next[block.cell(i)]++;
    order_[position] = static_cast<std::uint16_t>(i);
    const double* const numbers = block.numbers(i);
    for (std::size_t column = 0; column < block.num_columns(); ++column)
      (*columns_)[column][position] = numbers[column];
  }
  const double* const logps[] = {column(kPolicyChosenLogp), column(kPolicyRejectedLogp), column(kReferenceChosenLogp),
                                 column(kReferenceRejectedLogp)};
  Kernels().columns.compute_margins(
      logps, num_pairs(), {(*margins_)[0].data(), (*margins_)[1].data(), (*margins_)[2].data(), (*margins_)[3].data()});
}

PairColumns SortedBlock::Columns() const {
  PairColumns pairs{.num_pairs = num_pairs()};
  for (std::size_t i = 0; i < block_->num_columns(); ++i) {
    pairs.columns[i] = (*columns_)[i].data();
  }
  return pairs;
}

PairBlock SortedBlock::Marked(const std::vector<bool>& marks) const {
  PairBlock marked(block_->num_columns());
  for (std::size_t i = 0; i < num_pairs(); ++i) {
    if (marks[i]) marked.AddFrom(*block_, order_[i]);
  }
  return marked;
}

PairLogProbs SortedBlock::logps(std::size_t index) const {
  return {column(kPolicyChosenLogp)[index], column(kPolicyRejectedLogp)[index], column(kReferenceChosenLogp)[index],
          column(kReferenceRejectedLogp)[index]};
}

}  // namespace prefscore
