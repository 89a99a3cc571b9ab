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
};

double LogSumExp(const Matrix<PartialSum>& partial, std::int64_t row) {
  PartialSum total = partial.row(0)[row];
  for (std::int64_t chunk = 1; chunk < partial.num_rows(); ++chunk) {
    const PartialSum& next = partial.row(chunk)[row];
    const float maximum = std::max(total.maximum, next.maximum);
    total.sum = total.sum * std::exp(static_cast<double>(total.maximum) - maximum) +
                next.sum * std::exp(static_cast<double>(next.maximum) - maximum);
    total.maximum = maximum;
  }
  return total.maximum + std::log(total.sum);
}

}  // namespace

std::vector<double> LmHead::TargetLogProbs(const GemmInput& hidden, std::span<const HeadTarget> targets,
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

  std::vector<float> target_logits(targets.size());
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
          ops.accumulate_exp(tile.row(i), linear_.panel_columns(panel), &row.maximum, &row.sum);
        }
        for (; target != order.end() && tile_key(*target) < std::pair(panel, rows.first + rows.count); ++target) {
          const HeadTarget& wanted = targets[*target];
          target_logits[*target] = tile.row(wanted.head_row - rows.first)[wanted.token % kPanel];
        }
      }
    }
  });

  std::vector<double> log_sums(num_rows);
  for (std::int64_t row = 0; row < num_rows; ++row) log_sums[row] = LogSumExp(partial, row);
  std::vector<double> log_probs(targets.size());
  for (std::size_t i = 0; i < targets.size(); ++i) {
    log_probs[i] = static_cast<double>(target_logits[i]) - log_sums[targets[i].head_row];
  }
  return log_probs;
}

}  // namespace prefscore
