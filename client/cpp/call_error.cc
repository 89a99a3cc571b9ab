// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/call_error.h"

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace prefscore::client {
namespace {

// "pairs[3].chosen: is empty; options.beta: is 0": what `message` does not say yet.
std::string Violations(const google::rpc::BadRequest& bad_request, const std::string& message) {
  std::string text;
  for (const auto& violation : bad_request.field_violations()) {
    const bool is_told = message.find(violation.field()) != std::string::npos &&
                         message.find(violation.description()) != std::string::npos;
    if (is_told) continue;
    absl::StrAppend(&text, text.empty() ? "" : "; ", violation.field(), ": ", violation.description());
  }
  return text;
}

}  // namespace

CallError ToCallError(const google::rpc::Status& status) {
  CallError error;
  std::string message = status.message();
  for (const auto& detail : status.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry_info;
    if (detail.UnpackTo(&bad_request)) {
      const std::string violations = Violations(bad_request, message);
      if (!violations.empty()) absl::StrAppend(&message, message.empty() ? "" : " ", "[", violations, "]");
    } else if (detail.UnpackTo(&retry_info) && retry_info.has_retry_delay()) {
      error.retry_delay =
          absl::Seconds(retry_info.retry_delay().seconds()) + absl::Nanoseconds(retry_info.retry_delay().nanos());
    }
  }
  error.status = absl::Status(static_cast<absl::StatusCode>(status.code()), message);
  return error;
}

CallError ToCallError(int code, const std::string& message, const std::string& details) {
  google::rpc::Status status;
  // Details that do not parse, or tell of another code, lose nothing but themselves.
  if (!status.ParseFromString(details) || status.code() != code) status.clear_details();
  status.set_code(code);
  status.set_message(message);
  return ToCallError(status);
}

}  // namespace prefscore::client
