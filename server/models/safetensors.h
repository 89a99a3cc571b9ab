// SPDX-License-Identifier: Apache-2.0
// The safetensors format: an 8-byte little-endian header length, a JSON header, then the tensors' bytes. The file is
// treated as hostile: what this returns lies inside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace prefscore {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;                 // as the format spells it: "F32", "BF16", ...
  std::vector<std::int64_t> shape;   // row-major; empty for a scalar
  std::span<const std::byte> bytes;  // inside the file; may be unaligned
};

std::int64_t NumElements(const SafetensorsEntry& entry);

// The tensors of one file in the order of their bytes, which they cover without gap or overlap. Errors name the file
// (`where`), the tensor and the value: INVALID_ARGUMENT for a malformed file, UNIMPLEMENTED for a dtype whose size is
// unknown.
absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensors(std::span<const std::byte> file, std::string_view where);

}  // namespace prefscore
