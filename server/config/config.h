// SPDX-License-Identifier: Apache-2.0
// Everything that can be configured about a server: filled in one place from flags and a file, checked once at start,
// constant from then on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace prefscore {

inline constexpr char kVersion[] = PREFSCORE_VERSION;

// What callers may ask for at most. The service reports them and names them in errors.
struct Limits {
  std::int64_t max_pairs_per_request = 1024;
  std::int64_t max_completions_per_prompt = 64;
  std::int64_t max_objectives = 64;
  std::int64_t max_message_bytes = 64 << 20;
  std::int64_t max_text_bytes = 1 << 20;  // one prompt or completion
  std::int64_t max_queued_tokens = 1 << 20;
  std::int64_t max_queued_bytes = 256 << 20;
  std::int64_t max_stream_in_flight = 256;  // pairs
  std::int64_t max_batch_tokens = 4096;
  std::int64_t max_batch_bytes = 1 << 30;
  std::int64_t max_batch_ms = 1000;  // predicted
};

struct ModelFolder {
  std::string name;
  std::string folder;
};

struct ServerConfig {
  std::vector<ModelFolder> models;
  std::string policy;     // the default policy's name
  std::string reference;  // the default reference's name

  std::string listen = "127.0.0.1:50051";
  std::string metrics_listen = "127.0.0.1:9464";  // empty: no metrics are served

  std::string device = "auto";    // "auto" | "cpu" | "cuda:N"
  std::string dtype = "float32";  // "float32" | "bfloat16"
  int num_threads = 0;            // of one forward pass; 0: one per core

  std::string cache_dir;                                 // empty: there is no cache
  std::int64_t cache_max_bytes = std::int64_t{4} << 30;  // on disk

  Limits limits;
  absl::Duration shutdown_grace = absl::Seconds(30);
};

// What a command line asks for.
struct CommandLine {
  ServerConfig config;
  std::string effective;  // the configuration in force, in the format of --config
  std::string text;       // not empty for --help and --version: print it and exit with 0
};

// Flags override the file named by --config, which overrides the defaults. INVALID_ARGUMENT names flag, value and
// limit.
absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

}  // namespace prefscore
