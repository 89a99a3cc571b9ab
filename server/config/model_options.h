// SPDX-License-Identifier: Apache-2.0
// Which models are hosted, and which of them requests mean that name none.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace prefscore {

struct ModelFolder {
  std::string name;
  std::string folder;
};

struct ModelOptions {
  std::vector<std::string> assignments;  // NAME=DIR each, as they are typed
  std::vector<ModelFolder> folders;      // what they mean; filled by CheckOptions
  std::string policy;                    // the default policy's name
  std::string reference;                 // the default reference's name
};

void AddOptions(CLI::App& app, ModelOptions& options);
// Completes what is left out.
absl::Status CheckOptions(ModelOptions& options);

}  // namespace prefscore
