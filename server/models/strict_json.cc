// SPDX-License-Identifier: Apache-2.0
#include "server/models/strict_json.h"

#include <cstddef>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/models/mapped_file.h"
#include "server/util/json_shape.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;

absl::Status Malformed(std::string_view where, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(where), " ", std::string(what)));
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view where) {
  RETURN_IF_ERROR(CheckJsonDepth(text, std::string(where)));
  using Json = nlohmann::json;
  std::vector<std::set<std::string>> open_objects;  // the keys seen so far in each object that is not closed yet
  std::string fault;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (!fault.empty()) return false;
    switch (event) {
      case Json::parse_event_t::object_start: open_objects.emplace_back(); break;
      case Json::parse_event_t::object_end: open_objects.pop_back(); break;
      case Json::parse_event_t::key:
        if (const std::string key = parsed.get<std::string>(); !open_objects.back().insert(key).second) {
          fault = absl::StrCat("has the key '", key, "' twice in one object");
        }
        break;
      default: break;
    }
    return fault.empty();
  };
  Json json = Json::parse(text.begin(), text.end(), watch, /*allow_exceptions=*/false);
  if (!fault.empty()) return Malformed(where, fault);
  if (json.is_discarded()) return Malformed(where, "is not valid JSON");
  if (!json.is_object()) return Malformed(where, "is not a JSON object");
  return json;
}

absl::StatusOr<nlohmann::json> ReadJsonObject(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() > kMaxFileBytes) {
    return Malformed(path.string(), absl::StrCat("has ", file.bytes().size(), " bytes, limit ", kMaxFileBytes));
  }
  return ParseJsonObject({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
}

}  // namespace prefscore
