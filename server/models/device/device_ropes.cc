// SPDX-License-Identifier: Apache-2.0
#include "server/models/device/device_ropes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "server/models/rope.h"

namespace prefscore {
namespace {

// Most models have one set of frequencies. Dynamic scaling has one for each length beyond the original context: those
// come and go.
constexpr std::size_t kMaxEntries = 8;

constexpr std::int64_t kMinStride = 1024;

}  // namespace

std::shared_ptr<const DeviceRopeTables> DeviceRopes::Of(std::span<const std::int64_t> sequence_lengths,
                                                        std::int64_t num_positions) {
  std::vector<std::int64_t> keys;
  for (const std::int64_t length : sequence_lengths) {
    for (const RopeConfig& config : configs_) keys.push_back(RopeLengthKey(config, length));
  }
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.keys == keys && entry.tables->stride >= num_positions;
  });
  if (found != entries_.end()) {
    std::rotate(entries_.begin(), found, found + 1);
    return entries_.front().tables;
  }
  std::erase_if(entries_, [&](const Entry& entry) { return entry.keys == keys; });
  if (entries_.size() == kMaxEntries) entries_.pop_back();
  const auto rounded = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(num_positions)));
  const std::int64_t stride = std::clamp(rounded, std::min(kMinStride, max_positions_), max_positions_);
  entries_.push_front({std::move(keys), Make(sequence_lengths, stride)});
  return entries_.front().tables;
}

std::shared_ptr<const DeviceRopeTables> DeviceRopes::Make(std::span<const std::int64_t> sequence_lengths,
                                                          std::int64_t stride) {
  const std::lock_guard queue(device_.queue_mutex());
  auto tables = std::make_shared<DeviceRopeTables>();
  tables->stride = stride;
  for (const RopeConfig& config : configs_) {
    std::vector<float> cosines, sines;
    for (const std::int64_t length : sequence_lengths) {
      const RopeTable table(config, length, stride);
      const auto append = [&](const Matrix<float>& from, std::vector<float>& to) {
        for (std::int64_t row = 0; row < stride; ++row) {
          to.insert(to.end(), from.row(row), from.row(row) + from.num_columns());
        }
      };
      append(table.cosines(), cosines);
      append(table.sines(), sines);
    }
    tables->ropes.push_back({.half = config.rotary_dim / 2,
                             .cosines = Upload(device_, cosines.data(), cosines.size() * sizeof(float)),
                             .sines = Upload(device_, sines.data(), sines.size() * sizeof(float))});
  }
  return tables;
}

}  // namespace prefscore
