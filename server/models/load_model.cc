// SPDX-License-Identifier: Apache-2.0
#include "server/models/load_model.h"

#include <algorithm>
#include <map>
#include <optional>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/models/checkpoint.h"
#include "server/models/decoder.h"
#include "server/models/device/cuda/cuda_device.h"
#include "server/models/device/device_decoder.h"
#include "server/models/device/host_device.h"
#include "server/models/digest.h"
#include "server/models/hf_config.h"
#include "server/models/hf_weights.h"
#include "server/models/strict_json.h"
#include "server/util/device_name.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// The models that are alive in this process, so that a policy and a reference with the same weights are one.
class LiveModels {
 public:
  using Key = std::tuple<std::string, std::string, int, const Device*>;  // digest, dtype, threads

  // The live model of `key`, or what `make` returns. One at a time: two loads of one model must not both make it.
  template <typename Make>
  absl::StatusOr<std::shared_ptr<const CausalLm>> GetOrMake(const Key& key, Make make) {
    const absl::MutexLock lock(&mutex_);
    if (std::shared_ptr<const CausalLm> model = models_[key].lock()) return model;
    ASSIGN_OR_RETURN(std::shared_ptr<const CausalLm> model, make());
    models_[key] = model;
    return model;
  }

 private:
  absl::Mutex mutex_;
  std::map<Key, std::weak_ptr<const CausalLm>> models_ ABSL_GUARDED_BY(mutex_);
};

absl::Status InFolder(const std::filesystem::path& folder, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(folder.string(), ": ", std::string(status.message())));
}

// Null: the CPU.
absl::StatusOr<std::shared_ptr<Device>> OpenDevice(const std::string& name) {
  if (name == "cpu") return nullptr;
  if (name == "host") return MakeHostDevice();
  if (const std::optional<int> index = CudaIndexOf(name)) return OpenCudaDevice(*index);
  return absl::InvalidArgumentError(absl::StrCat("device = '", name, "'; expected cpu or cuda:N, as in cuda:0"));
}

// A folder that was found complete.
struct OpenedModel {
  DecoderConfig config;
  std::shared_ptr<const Checkpoint> checkpoint;
  BoundWeights weights;
};

absl::StatusOr<OpenedModel> OpenModelFolder(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    return absl::NotFoundError(absl::StrCat("model folder ", folder.string(), " does not exist or is no folder"));
  }
  const std::filesystem::path config_path = folder / "config.json";
  ASSIGN_OR_RETURN(const nlohmann::json config_json, ReadJsonObject(config_path));
  OpenedModel model;
  ASSIGN_OR_RETURN(model.config, ParseHfConfig(config_json, config_path.string()));
  ASSIGN_OR_RETURN(model.checkpoint, Checkpoint::Open(folder));
  absl::StatusOr<BoundWeights> weights = BindHfWeights(model.config, *model.checkpoint);
  if (!weights.ok()) return InFolder(folder, weights.status());
  model.weights = *std::move(weights);
  model.config.tied_head = model.weights.tied_head;
  return model;
}

}  // namespace

DeviceChoice ChooseDevice() {
  const auto device = OpenCudaDevice(0);
  if (device.ok()) return {.device = "cuda:0", .why_no_gpu = ""};
  return {.device = "cpu", .why_no_gpu = std::string(device.status().message())};
}

std::optional<DeviceMemory> MemoryOfDevice(const std::string& device) {
  const std::optional<int> index = CudaIndexOf(device);
  return index.has_value() ? MemoryOfCudaDevice(*index) : std::nullopt;
}

absl::StatusOr<std::shared_ptr<const CausalLm>> LoadModel(const std::filesystem::path& folder,
                                                          const LoadModelOptions& options) {
  static auto* const live_models = new LiveModels;
  if (options.dtype != "float32" && options.dtype != "bfloat16") {
    return absl::InvalidArgumentError(absl::StrCat("dtype = '", options.dtype, "'; expected float32 or bfloat16"));
  }
  const int num_threads = options.num_threads > 0 ? options.num_threads
                                                  : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));

  ASSIGN_OR_RETURN(const std::shared_ptr<Device> device, OpenDevice(options.device));

  ASSIGN_OR_RETURN(const OpenedModel opened, OpenModelFolder(folder));
  const auto& [config, checkpoint, weights] = opened;
  absl::StatusOr<std::string> digest = ModelDigest(config, weights.used, num_threads);
  if (!digest.ok()) return InFolder(folder, digest.status());

  const auto make = [&]() -> absl::StatusOr<std::shared_ptr<const CausalLm>> {
    ModelInfo info;
    info.architecture = config.architecture;
    info.digest = *digest;
    info.dtype = options.dtype;
    for (const SafetensorsEntry* tensor : weights.used) info.num_parameters += NumElements(*tensor);
    info.vocab_size = config.vocab_size;
    info.max_context_tokens = config.max_context_tokens;
    std::shared_ptr<const CausalLm> model;
    if (device != nullptr) {
      ASSIGN_OR_RETURN(
          model, MakeDeviceDecoder(device, config, weights.views, options.dtype, num_threads, std::move(info)));
    } else {
      ASSIGN_OR_RETURN(model, MakeDecoder(config, weights.views, options.dtype, num_threads, std::move(info)));
    }
    // What was read after the digest was taken must be what the digest tells.
    if (const absl::Status status = checkpoint->CheckUnchanged(); !status.ok()) return InFolder(folder, status);
    return model;
  };
  return live_models->GetOrMake({*digest, options.dtype, num_threads, device.get()}, make);
}

absl::Status CheckModelFolder(const std::filesystem::path& folder) { return OpenModelFolder(folder).status(); }

}  // namespace prefscore
