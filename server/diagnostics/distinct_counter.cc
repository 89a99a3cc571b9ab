// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/distinct_counter.h"

#include <algorithm>
#include <vector>

namespace prefscore {
namespace {

// FNV-1a, whose bits are mixed by MurmurHash3's finaliser: the same in all processes, which absl's is not.
std::uint64_t Hash(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

// The hash that kCapacity - 1 others are below.
std::uint64_t LastOfCapacity(const std::unordered_set<std::uint64_t>& hashes) {
  std::vector<std::uint64_t> sorted(hashes.begin(), hashes.end());
  const auto last = sorted.begin() + (DistinctCounter::kCapacity - 1);
  std::nth_element(sorted.begin(), last, sorted.end());
  return *last;
}

}  // namespace

void DistinctCounter::Add(std::string_view text) { AddHash(Hash(text)); }

void DistinctCounter::AddHash(std::uint64_t hash) {
  if (hash > bound_) return;
  hashes_.insert(hash);
  if (hashes_.size() >= 2 * kCapacity) Prune();
}

void DistinctCounter::Prune() {
  bound_ = LastOfCapacity(hashes_);
  std::erase_if(hashes_, [this](std::uint64_t hash) { return hash > bound_; });
}

void DistinctCounter::Merge(const DistinctCounter& other) {
  for (const std::uint64_t hash : other.hashes_) AddHash(hash);
}

std::uint64_t DistinctCounter::Count() const {
  if (bound_ == std::numeric_limits<std::uint64_t>::max()) return hashes_.size();
  const double share = (static_cast<double>(LastOfCapacity(hashes_)) + 1) * 0x1p-64;
  return static_cast<std::uint64_t>((kCapacity - 1) / share);
}

}  // namespace prefscore
