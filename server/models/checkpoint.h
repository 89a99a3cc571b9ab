// SPDX-License-Identifier: Apache-2.0
// All tensors of a model folder: model.safetensors, or the shards that model.safetensors.index.json names.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/models/mapped_file.h"
#include "server/models/safetensors.h"

namespace prefscore {

// Immutable and thread-safe. Owns the mappings: tensors' bytes are valid as long as it lives.
class Checkpoint {
 public:
  // model.safetensors goes before the index, as in transformers. NOT_FOUND where the folder or a file is missing;
  // INVALID_ARGUMENT where the index and its shards contradict each other or a name occurs twice.
  static absl::StatusOr<std::shared_ptr<const Checkpoint>> Open(const std::filesystem::path& folder);

  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }

  // FAILED_PRECONDITION naming a file that was written to, replaced or removed since Open: what was read of the tensors may
  // be of either version.
  absl::Status CheckUnchanged() const;

 private:
  Checkpoint(std::vector<MappedFile> files, std::map<std::string, SafetensorsEntry> tensors)
      : files_(std::move(files)), tensors_(std::move(tensors)) {}

  std::vector<MappedFile> files_;
  std::map<std::string, SafetensorsEntry> tensors_;
};

}  // namespace prefscore
