// SPDX-License-Identifier: Apache-2.0
#include "server/config/limits.h"

#include <CLI/App.hpp>
#include <limits>

#include "server/config/option_checks.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();

struct LimitFlag {
  const char* flag;
  std::int64_t Limits::* field;
  std::int64_t max;
  const char* help;
};

constexpr LimitFlag kLimitFlags[] = {
    {"--max-pairs-per-request", &Limits::max_pairs_per_request, 1 << 20, "Pairs (or prompts) in one unary request"},
    {"--max-completions-per-prompt", &Limits::max_completions_per_prompt, 1 << 16, "Completions of one prompt"},
    {"--max-objectives", &Limits::max_objectives, 1 << 16, "Objectives in one request"},
    {"--max-message-bytes", &Limits::max_message_bytes, kMaxInt32, "Size of one message, bytes"},
    {"--max-text-bytes", &Limits::max_text_bytes, kMaxInt32, "Text of one prompt or completion, bytes"},
    {"--max-queued-tokens", &Limits::max_queued_tokens, std::int64_t{1} << 40,
     "Tokens waiting to be scored; calls beyond are refused until there is room"},
    {"--max-queued-bytes", &Limits::max_queued_bytes, std::int64_t{1} << 40,
     "Memory of what waits to be scored, bytes; calls beyond are refused until there is room"},
    {"--max-stream-in-flight", &Limits::max_stream_in_flight, 1 << 16,
     "Pairs of one stream that are held before reading pauses"},
    {"--max-batch-tokens", &Limits::max_batch_tokens, 1 << 24, "Tokens of one batch; a longer group is its own batch"},
    {"--max-batch-bytes", &Limits::max_batch_bytes, std::int64_t{1} << 40,
     "Estimated memory of one batch while it is computed, bytes"},
    {"--max-batch-ms", &Limits::max_batch_ms, 3'600'000,
     "Predicted time of one batch, milliseconds: how long interactive work may wait for the one in flight"},
};

}  // namespace

void AddOptions(CLI::App& app, Limits& limits) {
  for (const LimitFlag& limit : kLimitFlags) {
    app.add_option(limit.flag, limits.*limit.field, limit.help)->group("Limits")->type_name("N")->capture_default_str();
  }
}

absl::Status CheckOptions(const Limits& limits) {
  for (const LimitFlag& limit : kLimitFlags) {
    RETURN_IF_ERROR(CheckRange(limit.flag, limits.*limit.field, std::int64_t{1}, limit.max));
  }
  return absl::OkStatus();
}

}  // namespace prefscore
