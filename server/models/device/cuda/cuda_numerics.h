// SPDX-License-Identifier: Apache-2.0
// The name of a GPU's arithmetic: caches of numbers are keyed by it.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace prefscore {

// What decides a GPU's bits beside this project's code: cublasLt chooses algorithms by its version, the GPU's kind and
// its number of processors; the flash attention is that of the torch wheel.
struct CudaArithmetic {
  std::string device_name;     // as the driver tells it: "NVIDIA H200"
  int compute_capability = 0;  // 90 for 9.0
  int num_processors = 0;
  std::string torch_version;
  std::size_t cublaslt_version = 0;
};

// "cuda-sm90-nvidia-h200-132sms-torch2.11.0-cublaslt130100". No blanks: what is no letter or digit of the device's name
// becomes a hyphen.
inline std::string CudaNumericsName(const CudaArithmetic& arithmetic) {
  std::string device = arithmetic.device_name;
  for (char& c : device) c = absl::ascii_isalnum(static_cast<unsigned char>(c)) ? absl::ascii_tolower(c) : '-';
  return absl::StrCat("cuda-sm", arithmetic.compute_capability, "-", device, "-", arithmetic.num_processors,
                      "sms-torch", arithmetic.torch_version, "-cublaslt", arithmetic.cublaslt_version);
}

}  // namespace prefscore
