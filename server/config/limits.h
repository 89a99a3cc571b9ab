// SPDX-License-Identifier: Apache-2.0
// What callers may ask for at most. The service reports these limits and names them in errors.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace CLI {
class App;
}

namespace prefscore {

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

void AddOptions(CLI::App& app, Limits& limits);
absl::Status CheckOptions(const Limits& limits);

}  // namespace prefscore
