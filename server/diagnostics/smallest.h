// SPDX-License-Identifier: Apache-2.0
// The smallest few of many items by operator<, a function of the set of items. Items that are equal must be alike.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace prefscore {

template <typename Item>
class Smallest {
 public:
  explicit Smallest(std::size_t capacity) : capacity_(capacity) {}

  bool is_full() const { return heap_.size() == capacity_; }
  // The item that goes next. REQUIRES: is_full().
  const Item& largest() const { return heap_.front(); }

  void Add(Item item) {
    if (is_full()) {
      if (!(item < largest())) return;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = std::move(item);
    } else {
      heap_.push_back(std::move(item));
    }
    std::push_heap(heap_.begin(), heap_.end());
  }

  void Merge(Smallest&& other) {
    for (Item& item : other.heap_) Add(std::move(item));
  }

  std::vector<Item> Sorted() const {
    std::vector<Item> items = heap_;
    std::sort_heap(items.begin(), items.end());
    return items;
  }

 private:
  std::size_t capacity_;  // > 0
  std::vector<Item> heap_;
};

}  // namespace prefscore
