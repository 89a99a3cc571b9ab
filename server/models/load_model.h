// SPDX-License-Identifier: Apache-2.0
// From a Hugging Face model folder to a CausalLm.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/models/causal_lm.h"
#include "server/models/device/device_memory.h"

namespace prefscore {

struct LoadModelOptions {
  std::string dtype = "float32";  // "float32" | "bfloat16": type of the weights in the forward pass
  int num_threads = 0;            // threads of one forward pass, on a GPU of loading alone; 0: one per core
  // "cpu" | "cuda:N" | "host": what runs on a GPU, on the CPU, slowly, for tests.
  std::string device = "cpu";
};

// What to run on where nobody says: cuda:0 where this build and machine have it, else the CPU.
struct DeviceChoice {
  std::string device;      // "cuda:0" | "cpu"
  std::string why_no_gpu;  // empty: there is one
};
DeviceChoice ChooseDevice();

// The memory of a device that models were loaded onto; nothing for what has none of its own, as the CPU.
std::optional<DeviceMemory> MemoryOfDevice(const std::string& device);

// Loads config.json and model.safetensors (or shards with an index). Every fault of the folder is an error whose
// message names the file and the field or tensor: NOT_FOUND (missing file), INVALID_ARGUMENT (malformed or
// contradictory), UNIMPLEMENTED (well-formed, but not supported), FAILED_PRECONDITION (no such device here). Folders
// with the same weights and config, device, dtype and threads share one model in memory as long as it is alive.
absl::StatusOr<std::shared_ptr<const CausalLm>> LoadModel(const std::filesystem::path& folder,
                                                          const LoadModelOptions& options);

// Whether LoadModel would find all it needs in the folder: reads config.json and the headers of the weights, not the
// weights. Errors as LoadModel's.
absl::Status CheckModelFolder(const std::filesystem::path& folder);

}  // namespace prefscore
