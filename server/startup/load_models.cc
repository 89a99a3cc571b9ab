// SPDX-License-Identifier: Apache-2.0
#include "server/startup/load_models.h"

#include <exception>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/models/load_model.h"
#include "server/util/status_macros.h"

namespace prefscore {

std::string ResolveDevice(const std::string& device, Logger& logger) {
  if (device != "auto") return device;
  const DeviceChoice choice = ChooseDevice();
  const std::string why = choice.why_no_gpu.empty() ? "" : absl::StrCat(" (", choice.why_no_gpu, ")");
  logger.Log(LogLevel::kInfo, absl::StrCat("device auto: ", choice.device, why));
  return choice.device;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizer(const ModelFolder& model, const Limits& limits) {
  const std::filesystem::path file = std::filesystem::path(model.folder) / "tokenizer.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    if (error) return absl::ErrnoToStatus(error.value(), file.string());
    return nullptr;
  }
  TokenizerOptions options;
  options.max_text_bytes = limits.max_text_bytes;
  return Tokenizer::Load(model.folder, options);
}

absl::Status OfModel(const ModelFolder& model, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("model '", model.name, "' (", model.folder, "): ",
                                                  std::string(status.message())));
}

namespace {

absl::StatusOr<HostedModel> Load(const ModelFolder& folder, const ServerConfig& config, const std::string& device) try {
  HostedModel model{.name = folder.name, .lm = nullptr, .tokenizer = nullptr};
  ASSIGN_OR_RETURN(model.lm, LoadModel(folder.folder, {.dtype = config.device.dtype,
                                                      .num_threads = config.device.num_threads,
                                                      .device = device}));
  ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizer(folder, config.limits));
  if (model.tokenizer != nullptr && model.tokenizer->vocab_size() > model.lm->info().vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json has ids up to ", model.tokenizer->vocab_size() - 1,
                                                   ", but the model's vocab_size is ", model.lm->info().vocab_size));
  }
  return model;
} catch (const std::exception& error) {  // of the file system or the memory: of this model only
  return absl::InternalError(error.what());
}

}  // namespace

absl::StatusOr<ModelRegistry> LoadModels(const ServerConfig& config, const std::string& device, Logger& logger) {
  std::vector<HostedModel> models;
  std::vector<MissingModel> missing;
  for (const ModelFolder& folder : config.models.folders) {
    auto model = Load(folder, config, device);
    if (!model.ok()) {
      missing.push_back({.name = folder.name, .reason = model.status()});
      logger.Log(LogLevel::kWarning, absl::StrCat("could not be loaded: ",
                                                  std::string(OfModel(folder, model.status()).message())));
      continue;
    }
    const ModelInfo& info = model->lm->info();
    logger.Log(LogLevel::kInfo,
               absl::StrCat("loaded model '", model->name, "': ", info.architecture, ", ", info.num_parameters,
                            " parameters, ", info.dtype, ", ", info.numerics_mode,
                            model->tokenizer == nullptr ? ", no tokenizer (token ids only)" : "", ", digest ",
                            info.digest));
    if (!info.same_bits_verified) {
      logger.Log(LogLevel::kWarning,
                 absl::StrCat("on this machine matrix products of '", model->name, "' move with the rows beside: ",
                              "the same ids may differ by a rounding from batch to batch"));
    }
    models.push_back(*std::move(model));
  }
  if (models.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no model could be loaded: ", absl::StrJoin(missing, "; ", [](auto* out, const auto& model) {
                       absl::StrAppend(out, "'", model.name, "': ", std::string(model.reason.message()));
                     })));
  }
  if (!missing.empty()) {
    logger.Log(LogLevel::kWarning,
               absl::StrCat("health is NOT_SERVING, since ", missing.size(), " of ", config.models.folders.size(),
                            " models could not be loaded; calls that need only the others are answered"));
  }
  return ModelRegistry::Create(std::move(models), config.models.policy, config.models.reference, std::move(missing));
}

}  // namespace prefscore
