// SPDX-License-Identifier: Apache-2.0
#include "server/models/safetensors.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/models/strict_json.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr std::size_t kMaxRank = 16;

// 0: a dtype that we do not know the size of.
std::uint64_t DtypeBytes(std::string_view dtype) {
  for (const std::string_view name : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3"}) {
    if (dtype == name) return 1;
  }
  for (const std::string_view name : {"I16", "U16", "F16", "BF16"}) {
    if (dtype == name) return 2;
  }
  for (const std::string_view name : {"I32", "U32", "F32"}) {
    if (dtype == name) return 4;
  }
  for (const std::string_view name : {"I64", "U64", "F64"}) {
    if (dtype == name) return 8;
  }
  return 0;
}

struct Extent {
  SafetensorsEntry entry;
  std::uint64_t begin = 0;  // relative to the first tensor byte
  std::uint64_t end = 0;
};

// A non-negative integer; a float that happens to be whole is refused like any other type.
std::optional<std::uint64_t> Unsigned(const nlohmann::json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  return value.get<std::uint64_t>();
}

absl::StatusOr<Extent> ParseEntry(const std::string& name, const nlohmann::json& json, std::string_view where) {
  const auto malformed = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(where), ": tensor '", name, "' ", what...));
  };
  if (!json.is_object()) return malformed("is not described by an object");
  for (const auto& item : json.items()) {
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
      return malformed("has the unknown field '", item.key(), "'");
    }
  }
  const auto dtype = json.find("dtype");
  const auto shape = json.find("shape");
  const auto offsets = json.find("data_offsets");
  if (dtype == json.end() || !dtype->is_string()) return malformed("has no dtype string");
  if (shape == json.end() || !shape->is_array()) return malformed("has no shape array");
  if (offsets == json.end() || !offsets->is_array() || offsets->size() != 2) {
    return malformed("has no data_offsets pair");
  }

  Extent extent;
  extent.entry.name = name;
  extent.entry.dtype = dtype->get<std::string>();
  const std::uint64_t element_bytes = DtypeBytes(extent.entry.dtype);
  if (element_bytes == 0) {
    return absl::UnimplementedError(
        absl::StrCat(std::string(where), ": tensor '", name, "' has dtype '", extent.entry.dtype, "'"));
  }
  if (shape->size() > kMaxRank) return malformed("has rank ", shape->size(), ", limit ", kMaxRank);
  std::uint64_t num_bytes = element_bytes;
  bool overflow = false;
  for (const nlohmann::json& item : *shape) {
    const std::optional<std::uint64_t> dimension = Unsigned(item);
    if (!dimension || *dimension > INT64_MAX) return malformed("has the dimension ", item.dump(), " in its shape");
    overflow = overflow || __builtin_mul_overflow(num_bytes, *dimension, &num_bytes);
    extent.entry.shape.push_back(static_cast<std::int64_t>(*dimension));
  }
  if (overflow) return malformed("has the shape ", shape->dump(), ", whose size overflows 64 bits");

  const std::optional<std::uint64_t> begin = Unsigned((*offsets)[0]);
  const std::optional<std::uint64_t> end = Unsigned((*offsets)[1]);
  if (!begin || !end || *end < *begin) return malformed("has the data_offsets ", offsets->dump());
  if (*end - *begin != num_bytes) {
    return malformed("has ", *end - *begin, " bytes, but its dtype ", extent.entry.dtype, " and shape ", shape->dump(),
                     " need ", num_bytes);
  }
  extent.begin = *begin;
  extent.end = *end;
  return extent;
}

}  // namespace

std::int64_t NumElements(const SafetensorsEntry& entry) {
  std::int64_t count = 1;
  for (const std::int64_t dimension : entry.shape) count *= dimension;  // ParseEntry has checked the product
  return count;
}

absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensors(std::span<const std::byte> file,
                                                               std::string_view where) {
  const auto malformed = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(std::string(where), ": ", what...));
  };
  if (file.size() < kLengthBytes) {
    return malformed("truncated: ", file.size(), " bytes cannot hold the 8-byte header length");
  }
  std::uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | std::to_integer<std::uint64_t>(file[i]);
  if (header_bytes > kMaxHeaderBytes) {
    return malformed("header length ", header_bytes, " is over the limit ", kMaxHeaderBytes);
  }
  if (header_bytes > file.size() - kLengthBytes) {
    return malformed("truncated: header length ", header_bytes, " in a file of ", file.size(), " bytes");
  }
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + kLengthBytes, header_bytes);
  if (!header.starts_with('{')) return malformed("the header does not start with '{'");
  ASSIGN_OR_RETURN(const nlohmann::json json,
                   ParseJsonObject(header, absl::StrCat(std::string(where), ": the header")));
  const std::span<const std::byte> data = file.subspan(kLengthBytes + header_bytes);

  std::vector<Extent> extents;
  extents.reserve(json.size());
  for (const auto& item : json.items()) {
    if (item.key() == "__metadata__") continue;  // free text of the writer
    ASSIGN_OR_RETURN(Extent extent, ParseEntry(item.key(), item.value(), where));
    extents.push_back(std::move(extent));
  }
  // By end as well, so that empty tensors come before the one that starts at their place.
  std::sort(extents.begin(), extents.end(), [](const Extent& left, const Extent& right) {
    return std::pair(left.begin, left.end) < std::pair(right.begin, right.end);
  });

  std::vector<SafetensorsEntry> entries;
  entries.reserve(extents.size());
  std::uint64_t covered = 0;
  for (Extent& extent : extents) {
    if (extent.begin != covered) {
      return malformed("tensor '", extent.entry.name, "' starts at byte ", extent.begin, " of the data where ", covered,
                       " is next: the tensors ", extent.begin < covered ? "overlap" : "leave a hole");
    }
    if (extent.end > data.size()) {
      return malformed("truncated: tensor '", extent.entry.name, "' ends at byte ", extent.end,
                       " of the data, which has ", data.size());
    }
    extent.entry.bytes = data.subspan(extent.begin, extent.end - extent.begin);
    covered = extent.end;
    entries.push_back(std::move(extent.entry));
  }
  if (covered != data.size()) return malformed(data.size() - covered, " bytes after the last tensor");
  return entries;
}

}  // namespace prefscore
