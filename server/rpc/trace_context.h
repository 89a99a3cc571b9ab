// SPDX-License-Identifier: Apache-2.0
// Which trace a call belongs to: W3C Trace Context (https://www.w3.org/TR/trace-context/), as far as the header
// `traceparent` goes. Spans are not exported: ids go to the log and to the caller, so that both sides can be joined.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace prefscore {

struct TraceContext {
  std::string trace_id;        // 32 lower-case hexadecimal digits
  std::string parent_span_id;  // 16, of the caller
  std::string span_id;         // 16, of the call on this server
  std::string flags;           // 2; bit 0: the caller records the trace

  // For the caller: the header `traceresponse` of Trace Context level 2.
  std::string Response() const { return "00-" + trace_id + "-" + span_id + "-" + flags; }
};

// Nothing where `traceparent` is not valid: then the call has no trace, as the standard asks.
std::optional<TraceContext> ParseTraceparent(std::string_view traceparent);

// So many lower-case hexadecimal digits at random, not all 0. Good for ids, not for secrets.
std::string RandomHex(int num_digits);

}  // namespace prefscore
