// SPDX-License-Identifier: Apache-2.0
// Matrix products by cublasLt, one algorithm for each shape of weight whatever the number of rows: that makes a row's
// bits independent of its batch. The library's own choice does not: it depends on the number of rows, and may split the
// inner dimension. The first product with a shape asks the library about every row count up to kMaxMatMulRows, so that
// none is refused later.
//
// The library is looked up at run time, among those that the torch wheel loads: nothing of ours links it.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/models/device/device.h"

namespace prefscore {

// Calls are made under the device's queue mutex.
class CublasLtMatMul {
 public:
  // FAILED_PRECONDITION where the library is not there or lacks a function. REQUIRES: a current device.
  static absl::StatusOr<std::unique_ptr<CublasLtMatMul>> Open();
  virtual ~CublasLtMatMul() = default;

  // For example 130100.
  virtual std::size_t version() const = 0;
  // Throws a DeviceError that names the shape where no algorithm suits it; nothing of it is kept then.
  virtual void MatMul(const MatMulArgs& args, cudaStream_t stream) = 0;
  // The algorithm of that shape of weight, for people: "algo 66, tile 20, stages 36, cluster 3".
  virtual std::string Describe(const MatMulArgs& args) = 0;
};

}  // namespace prefscore
