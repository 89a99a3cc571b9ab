// SPDX-License-Identifier: Apache-2.0
// Which arithmetic this CPU gives, and its name.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace prefscore {

// Type of the weights and of every matrix product's inputs; sums are fp32 in either.
enum class Precision { kFloat32, kBfloat16 };

// "float32" | "bfloat16"; another name is INVALID_ARGUMENT.
absl::StatusOr<Precision> ParsePrecision(std::string_view dtype);

// For example "cpu-avx512-float32-1": equal names promise equal bits. FAILED_PRECONDITION where this CPU lacks the
// instructions.
absl::StatusOr<std::string> NumericsMode(Precision precision);

}  // namespace prefscore
