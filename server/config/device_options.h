// SPDX-License-Identifier: Apache-2.0
// What forward passes run on.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace prefscore {

struct DeviceOptions {
  std::string device = "auto";    // "auto" | "cpu" | "cuda:N"
  std::string dtype = "float32";  // "float32" | "bfloat16"
  int num_threads = 0;            // of one forward pass; 0: one per core
};

void AddOptions(CLI::App& app, DeviceOptions& options);
absl::Status CheckOptions(const DeviceOptions& options);

}  // namespace prefscore
