// SPDX-License-Identifier: Apache-2.0
// Everything that can be configured about a server: filled in one place from flags and a file, checked once at start,
// constant from then on. A group of options is a header of its own, which holds its defaults.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/config/access_options.h"
#include "server/config/cache_options.h"
#include "server/config/device_options.h"
#include "server/config/limits.h"
#include "server/config/listen_options.h"
#include "server/config/logging_options.h"
#include "server/config/model_options.h"
#include "server/config/shutdown_options.h"
#include "server/config/transport_options.h"

namespace prefscore {

inline constexpr char kVersion[] = PREFSCORE_VERSION;

struct ServerConfig {
  ModelOptions models;
  ListenOptions listen;
  AccessOptions access;
  TransportOptions transport;
  DeviceOptions device;
  CacheOptions cache;
  ShutdownOptions shutdown;
  LoggingOptions logging;
  Limits limits;
};

// What a command line asks for.
struct CommandLine {
  ServerConfig config;
  bool check_only = false;  // --check-config: check what can be checked without serving, then exit
  std::string effective;    // the configuration in force, in the format of --config
  std::string text;         // not empty for --help and --version: print it and exit with 0
};

// Flags override the file named by --config, which overrides the defaults. INVALID_ARGUMENT names flag, value and
// limit.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

}  // namespace prefscore
