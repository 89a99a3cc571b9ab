// SPDX-License-Identifier: Apache-2.0
// Where log-probs are kept, and how many.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace prefscore {

struct CacheOptions {
  std::string folder;                              // empty: there is no cache
  std::int64_t max_bytes = std::int64_t{4} << 30;  // on disk
};

// Sets the folder to the user's cache folder: $XDG_CACHE_HOME/prefscore, else $HOME/.cache/prefscore, else none.
void AddOptions(CLI::App& app, CacheOptions& options);
absl::Status CheckOptions(const CacheOptions& options);

}  // namespace prefscore
