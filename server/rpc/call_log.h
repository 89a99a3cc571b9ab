// SPDX-License-Identifier: Apache-2.0
// What the log tells of one call: a line at its end, with who called, what was asked and where the time went.
//
// Never what was sent, unless the operator asks for content: an error that is the caller's is told by its code and, where
// that is a path of ours, its field; its message may quote texts. Names and ids of pairs, labels and parameters are the
// caller's too.
#pragma once

#include <grpcpp/server_context.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "server/logging/logger.h"
#include "server/rpc/trace_context.h"
#include "server/scoring/call_report.h"

namespace prefscore {

struct CallLogOptions {
  absl::Duration slow_call = absl::InfiniteDuration();  // unary calls that take as long are logged as warnings
  bool with_content = false;
};

// Used by one thread at a time.
class CallLog {
 public:
  enum class Kind { kUnary, kStream };

  // Takes the caller's metadata: `x-request-id`, if it is 1 to 128 printable ASCII characters, else one is made;
  // `traceparent`, if it is valid. The reply's trailing metadata get `x-request-id` and, where there is a trace,
  // `traceresponse`. `method` and `rpc` outlive the log.
  CallLog(Kind kind, const char* method, Logger& logger, const CallLogOptions& options,
          grpc::CallbackServerContext& rpc);

  const std::string& request_id() const { return request_id_; }

  // A message of the call, logged at once where content is asked for.
  void OnMessage(const google::protobuf::Message& message) const;

  // The name of the token that the caller showed; empty: none.
  void SetToken(std::string name) { token_ = std::move(name); }
  void SetModels(std::string names) { models_ = std::move(names); }
  // Pairs, or prompts with completions.
  void CountItem(bool is_ok) { ++(is_ok ? num_ok_ : num_failed_); }
  void Add(const CallReport& report);
  const CallReport& report() const { return report_; }

  // The line. `code`: what the client is told of `status`. Once.
  void End(const absl::Status& status, grpc::StatusCode code, absl::Duration total) const;

 private:
  void AppendIds(LogFields& fields) const;
  void AppendError(const absl::Status& status, LogFields& fields) const;
  void AppendTimes(absl::Duration total, LogFields& fields) const;

  const Kind kind_;
  const char* const method_;
  Logger& logger_;
  const CallLogOptions& options_;
  grpc::CallbackServerContext& rpc_;
  std::string request_id_;
  std::optional<TraceContext> trace_;
  std::string token_;
  std::string models_;
  std::int64_t num_ok_ = 0;
  std::int64_t num_failed_ = 0;
  CallReport report_;  // sums over what was added
};

}  // namespace prefscore
