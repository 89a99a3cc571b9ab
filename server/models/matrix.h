// SPDX-License-Identifier: Apache-2.0
// Scratch of one forward pass: row-major matrices in 64-byte aligned memory that is not initialised.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace prefscore {

template <typename T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t num_rows, std::int64_t num_columns) : Matrix(num_rows, num_columns, num_columns) {}
  // Rows start `stride` elements apart.
  Matrix(std::int64_t num_rows, std::int64_t num_columns, std::int64_t stride)
      : num_rows_(num_rows), num_columns_(num_columns), stride_(stride) {
    const std::size_t num_bytes = (static_cast<std::size_t>(num_rows * stride) * sizeof(T) + 63) / 64 * 64;
    values_.reset(static_cast<T*>(std::aligned_alloc(64, num_bytes == 0 ? 64 : num_bytes)));
    if (!values_) throw std::bad_alloc();
  }

  T* row(std::int64_t index) { return values_.get() + index * stride_; }
  const T* row(std::int64_t index) const { return values_.get() + index * stride_; }
  std::int64_t num_rows() const { return num_rows_; }
  std::int64_t num_columns() const { return num_columns_; }
  std::int64_t stride() const { return stride_; }

 private:
  struct Free {
    void operator()(T* values) const { std::free(values); }
  };

  std::int64_t num_rows_ = 0;
  std::int64_t num_columns_ = 0;
  std::int64_t stride_ = 0;
  std::unique_ptr<T[], Free> values_;
};

}  // namespace prefscore
