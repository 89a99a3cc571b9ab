// SPDX-License-Identifier: Apache-2.0
// The models of a configuration, from their folders into memory.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/scoring/hosted_model.h"

namespace prefscore {

// What "auto" means on this machine; a server that is slow for want of a GPU says why.
std::string ResolveDevice(const std::string& device, Logger& logger);

// Null for a model that takes token ids only.
absl::StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizer(const ModelFolder& model, const Limits& limits);

// The status with the model's name and folder before its message.
absl::Status OfModel(const ModelFolder& model, const absl::Status& status);

// Models that cannot be loaded are missing from the registry, which knows why. FAILED_PRECONDITION if that is all.
absl::StatusOr<ModelRegistry> LoadModels(const ServerConfig& config, const std::string& device, Logger& logger);

}  // namespace prefscore
