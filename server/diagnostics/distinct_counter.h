// SPDX-License-Identifier: Apache-2.0
// How many different strings there were, in bounded memory; a function of the set of strings.
//
// Below 2 * kCapacity the count is exact (but for 64-bit hashes that collide). From there on only the smallest
// kCapacity hashes count: the largest of them, at a share s of all hashes, tells about (kCapacity - 1) / s strings, to
// some 0.4 %. Z. Bar-Yossef et al., "Counting Distinct Elements in a Data Stream", 2002.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <unordered_set>

namespace prefscore {

class DistinctCounter {
 public:
  static constexpr std::size_t kCapacity = 65536;

  void Add(std::string_view text);
  void Merge(const DistinctCounter& other);
  std::uint64_t Count() const;

 private:
  void AddHash(std::uint64_t hash);
  void Prune();

  std::unordered_set<std::uint64_t> hashes_;                         // less than 2 * kCapacity
  std::uint64_t bound_ = std::numeric_limits<std::uint64_t>::max();  // hashes above do not count; at first all do
};

}  // namespace prefscore
