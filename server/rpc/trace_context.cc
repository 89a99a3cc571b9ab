// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/trace_context.h"

#include <algorithm>
#include <cstddef>

#include "absl/random/random.h"

namespace prefscore {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";
constexpr std::size_t kLength = 55;  // of version 00: 2 + 32 + 16 + 2 digits and three dashes

bool IsHex(std::string_view text) { return text.find_first_not_of(kDigits) == std::string_view::npos; }
bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

std::optional<TraceContext> ParseTraceparent(std::string_view traceparent) {
  if (traceparent.size() < kLength) return std::nullopt;
  const std::string_view version = traceparent.substr(0, 2), trace_id = traceparent.substr(3, 32),
                         parent_id = traceparent.substr(36, 16), flags = traceparent.substr(53, 2);
  for (const std::size_t dash : {2, 35, 52}) {
    if (traceparent[dash] != '-') return std::nullopt;
  }
  for (const std::string_view part : {version, trace_id, parent_id, flags}) {
    if (!IsHex(part)) return std::nullopt;
  }
  if (version == "ff" || IsZero(trace_id) || IsZero(parent_id)) return std::nullopt;
  // Later versions may add parts; this one has none.
  if (traceparent.size() > kLength && (version == "00" || traceparent[kLength] != '-')) return std::nullopt;
  return TraceContext{.trace_id = std::string(trace_id),
                      .parent_span_id = std::string(parent_id),
                      .span_id = RandomHex(16),
                      .flags = std::string(flags)};
}

std::string RandomHex(int num_digits) {
  thread_local absl::InsecureBitGen generator;
  std::string text(static_cast<std::size_t>(num_digits), '0');
  do {
    for (char& digit : text) digit = kDigits[absl::Uniform<std::size_t>(generator, 0, kDigits.size())];
  } while (IsZero(text));
  return text;
}

}  // namespace prefscore
