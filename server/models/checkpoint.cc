// SPDX-License-Identifier: Apache-2.0
#include "server/models/checkpoint.h"

#include <set>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/models/strict_json.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

using WeightMap = std::map<std::string, std::string>;  // tensor name -> file name

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// A name inside the folder: an index must not be able to point anywhere else.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::StatusOr<WeightMap> ReadIndex(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonObject(path));
  const auto malformed = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", what...));
  };
  const auto found = json.find("weight_map");
  if (found == json.end() || !found->is_object() || found->empty()) return malformed("weight_map is missing or empty");
  WeightMap weight_map;
  for (const auto& item : found->items()) {
    if (!item.value().is_string() || !IsPlainFileName(item.value().get<std::string>())) {
      return malformed("weight_map places tensor '", item.key(), "' in ", item.value().dump(),
                       ", which is no file name in this folder");
    }
    weight_map.emplace(item.key(), item.value().get<std::string>());
  }
  return weight_map;
}

absl::Status NoWeights(const std::filesystem::path& folder) {
  std::string message =
      absl::StrCat(folder.string(), " has neither ", std::string(kSingleFile), " nor ", std::string(kIndexFile));
  if (Exists(folder / "pytorch_model.bin") || Exists(folder / "pytorch_model.bin.index.json")) {
    absl::StrAppend(&message, "; pytorch_model.bin is not read: save the model again with safe_serialization=True");
  }
  return absl::NotFoundError(message);
}

}  // namespace

absl::Status Checkpoint::CheckUnchanged() const {
  for (const MappedFile& file : files_) RETURN_IF_ERROR(file.CheckUnchanged());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Checkpoint>> Checkpoint::Open(const std::filesystem::path& folder) {
  if (!Exists(folder)) return absl::NotFoundError(absl::StrCat("model folder ", folder.string(), " does not exist"));
  const bool sharded = !Exists(folder / kSingleFile);
  if (sharded && !Exists(folder / kIndexFile)) return NoWeights(folder);

  WeightMap weight_map;
  std::set<std::string> file_names = {std::string(kSingleFile)};
  if (sharded) {
    ASSIGN_OR_RETURN(weight_map, ReadIndex(folder / kIndexFile));
    file_names.clear();
    for (const auto& [tensor, file] : weight_map) file_names.insert(file);
  }

  std::vector<MappedFile> files;
  std::map<std::string, SafetensorsEntry> tensors;
  for (const std::string& file_name : file_names) {
    const std::filesystem::path path = folder / file_name;
    ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
    ASSIGN_OR_RETURN(std::vector<SafetensorsEntry> entries, ParseSafetensors(file.bytes(), path.string()));
    files.push_back(std::move(file));
    for (SafetensorsEntry& entry : entries) {
      const std::string name = entry.name;
      if (sharded) {
        const auto place = weight_map.find(name);
        if (place == weight_map.end() || place->second != file_name) {
          return absl::InvalidArgumentError(
              absl::StrCat(path.string(), " holds tensor '", name, "', which ", std::string(kIndexFile),
                           place == weight_map.end() ? " does not list" : absl::StrCat(" places in ", place->second)));
        }
      }
      tensors.emplace(name, std::move(entry));
    }
  }
  for (const auto& [name, file_name] : weight_map) {
    if (!tensors.contains(name)) {
      return absl::InvalidArgumentError(absl::StrCat((folder / kIndexFile).string(), ": weight_map places tensor '",
                                                     name, "' in ", file_name, ", which does not hold it"));
    }
  }
  return std::shared_ptr<const Checkpoint>(new Checkpoint(std::move(files), std::move(tensors)));
}

}  // namespace prefscore
