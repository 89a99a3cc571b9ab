// SPDX-License-Identifier: Apache-2.0
// A safetensors file: whatever its header says, the tensors lie inside the file, in order, without gap or overlap.
#include <bit>
#include <cstring>
#include <span>
#include <string>

#include "server/models/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {
namespace {

constexpr std::size_t kLengthBytes = 8;

void Parse(std::string_view file) {
  const std::span bytes(reinterpret_cast<const std::byte*>(file.data()), file.size());
  const auto entries = ParseSafetensors(bytes, "file");
  CheckIsRefusal(entries.status());
  if (!entries.ok()) return;
  std::size_t covered = 0;
  for (const SafetensorsEntry& entry : *entries) {
    FUZZ_CHECK(entry.bytes.data() >= bytes.data() && entry.bytes.size() <= bytes.size(), entry.name);
    FUZZ_CHECK(entry.bytes.data() + entry.bytes.size() <= bytes.data() + bytes.size(), entry.name);
    FUZZ_CHECK(NumElements(entry) >= 0, entry.name);
    FUZZ_CHECK(static_cast<std::size_t>(NumElements(entry)) <= entry.bytes.size(), entry.name);
    covered += entry.bytes.size();
  }
  FUZZ_CHECK(covered < bytes.size(), "tensors have more bytes than the file");
}

}  // namespace

// The input twice: as it is, and as header and data behind a length that fits, which mutation would hardly hit upon.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = Text(data, size);
  Parse(input);
  if (size <= kLengthBytes) return 0;
  std::string_view tensor_bytes = input.substr(kLengthBytes);
  const std::string_view header = NextPart(tensor_bytes);
  const std::uint64_t header_bytes = header.size();
  static_assert(std::endian::native == std::endian::little);
  std::string file(kLengthBytes, '\0');
  std::memcpy(file.data(), &header_bytes, kLengthBytes);
  file.append(header).append(tensor_bytes);
  Parse(file);
  return 0;
}

}  // namespace prefscore::fuzz
