// SPDX-License-Identifier: Apache-2.0
#include "server/models/lm_head.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "server/models/row_ops.h"

namespace prefscore {
namespace {

constexpr std::int64_t kPanel = PackedLinear::kPanelColumns;

// The vocabulary is cut into this many chunks at most. Their sums are combined in order, so the cut may depend on
// nothing but the vocabulary.
constexpr std::int64_t kMaxChunks = 64;

// sum * exp(maximum) over some logits of a row.
struct PartialSum {
  double sum = 0.0;
  float maximum = -std::numeric_limits<float>::infinity();
  std::int32_t panel = -1;  // the first that has the maximum; -1: there is none above -infinity
};

struct RowTotal {
  double log_sum_exp = 0.0;
  std::int32_t panel = -1;
};

RowTotal Combine(const Matrix<PartialSum>& partial, std::int64_t row) {
  PartialSum total = partial.row(0)[row];
  for (std::int64_t chunk = 1; chunk < partial.num_rows(); ++chunk) {
    const PartialSum& next = partial.row(chunk)[row];
    if (next.maximum > total.maximum) total.panel = next.panel;
    const float maximum = std::max(total.maximum, next.maximum);
    total.sum = total.sum * std::exp(static_cast<double>(total.maximum) - maximum) +
                next.sum * std::exp(static_cast<double>(next.maximum) - maximum);
    total.maximum = maximum;
  }
  return {.log_sum_exp = total.maximum + std::log(total.sum), .panel = total.panel};
}

}  // namespace

std::vector<kernels::TargetScore> LmHead::ScoreTargets(const GemmInput& hidden, std::span<const HeadTarget> targets,
                                                       const ThreadPool& pool) const {
  const RowOps& ops = GetRowOps();
  const std::int64_t num_rows = hidden.num_rows();
  const std::int64_t num_blocks = NumRowBlocks(num_rows);
  const std::int64_t num_chunks = std::min(kMaxChunks, linear_.num_panels());

  // Targets in the order in which tiles come by: panel by panel, and row by row within.
  std::vector<std::int64_t> order(targets.size());
  std::iota(order.begin(), order.end(), 0);
  const auto tile_key = [&](std::int64_t target) {
    return std::pair(targets[target].token / kPanel, targets[target].head_row);
  };
  std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return tile_key(a) < tile_key(b); });

  // Until the sums are known: log_prob is the logit, is_argmax whether the token is the first of its panel's largest and
  // the panel the first of its chunk's so far.
  std::vector<kernels::TargetScore> scores(targets.size());
  Matrix<PartialSum> partial(num_chunks, num_rows);
  pool.ParallelFor(num_chunks, [&](std::int64_t chunk) {
    const std::int64_t first_panel = linear_.num_panels() * chunk / num_chunks;
    const std::int64_t end_panel = linear_.num_panels() * (chunk + 1) / num_chunks;
    std::fill_n(partial.row(chunk), num_rows, PartialSum{});
    auto target = std::lower_bound(order.begin(), order.end(), std::pair(first_panel, std::int64_t{0}),
                                   [&](std::int64_t index, const auto& key) { return tile_key(index) < key; });
    Matrix<float> tile(PackedLinear::kTileRows, kPanel);
    for (std::int64_t panel = first_panel; panel < end_panel; ++panel) {
      for (std::int64_t block = 0; block < num_blocks; ++block) {
        const RowRange rows = RowBlock(num_rows, num_blocks, block);
        linear_.MultiplyTile(hidden, rows.first, rows.count, panel, tile.row(0), tile.stride());
        for (std::int64_t i = 0; i < rows.count; ++i) {
          if (softcap_ > 0.0f) ops.softcap(softcap_, tile.row(i), linear_.panel_columns(panel));
          PartialSum& row = partial.row(chunk)[rows.first + i];
          const float maximum_before = row.maximum;
          ops.accumulate_exp(tile.row(i), linear_.panel_columns(panel), &row.maximum, &row.sum);
          if (row.maximum > maximum_before) row.panel = static_cast<std::int32_t>(panel);
        }
        for (; target != order.end() && tile_key(*target) < std::pair(panel, rows.first + rows.count); ++target) {
          const HeadTarget& wanted = targets[*target];
          const PartialSum& row = partial.row(chunk)[wanted.head_row];
          const float* logits = tile.row(wanted.head_row - rows.first);
          const float* logit = logits + wanted.token % kPanel;
          scores[*target] = {.log_prob = *logit,
                             .is_argmax = row.panel == panel && *logit == row.maximum &&
                                          std::find(logits, logit, row.maximum) == logit};
        }
      }
    }
  });

  std::vector<RowTotal> totals(num_rows);
  for (std::int64_t row = 0; row < num_rows; ++row) totals[row] = Combine(partial, row);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const RowTotal& total = totals[targets[i].head_row];
    scores[i].log_prob -= total.log_sum_exp;
    scores[i].is_argmax = scores[i].is_argmax && targets[i].token / kPanel == total.panel;
  }
  return scores;
}

}  // namespace prefscore
