// SPDX-License-Identifier: Apache-2.0
// Row-major matrices in 64-byte aligned memory that is not initialised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace prefscore {

// 64-byte aligned memory. Large blocks that are given back are kept for the next taker, up to 256 MiB in the process: a
// forward pass takes the same few sizes again and again, and the system clears every fresh page that it hands out.
// Throws std::bad_alloc. Thread-safe.
void* TakeMemory(std::size_t num_bytes);
void GiveBackMemory(void* memory, std::size_t num_bytes);  // num_bytes as it was taken

template <typename T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t num_rows, std::int64_t num_columns) : Matrix(num_rows, num_columns, num_columns) {}
  // Rows start `stride` elements apart.
  Matrix(std::int64_t num_rows, std::int64_t num_columns, std::int64_t stride)
      : num_rows_(num_rows), num_columns_(num_columns), stride_(stride) {
    const std::size_t num_bytes = static_cast<std::size_t>(num_rows * stride) * sizeof(T);
    values_ = {static_cast<T*>(TakeMemory(num_bytes)), GiveBack{num_bytes}};
  }

  T* row(std::int64_t index) { return values_.get() + index * stride_; }
  const T* row(std::int64_t index) const { return values_.get() + index * stride_; }
  std::int64_t num_rows() const { return num_rows_; }
  std::int64_t num_columns() const { return num_columns_; }
  std::int64_t stride() const { return stride_; }

 private:
  struct GiveBack {
    std::size_t num_bytes = 0;
    void operator()(T* values) const { GiveBackMemory(values, num_bytes); }
  };

  std::int64_t num_rows_ = 0;
  std::int64_t num_columns_ = 0;
  std::int64_t stride_ = 0;
  std::unique_ptr<T[], GiveBack> values_;
};

}  // namespace prefscore
