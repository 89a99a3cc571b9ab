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

// Why no connection comes about. gRPC gives all of it the same code; only its words tell these apart.
struct SecurityFault {
  const char* words;
  const char* explanation;
  bool is_lasting;
};

constexpr SecurityFault kSecurityFaults[] = {
    {"certificate verify failed",
     "the server's certificate is not trusted here; its authority's goes into TlsOptions::root_certificates (--tls-ca)",
     true},
    {"is not in peer certificate",
     "the server's certificate is for another name; the right one goes into TlsOptions::server_name (--tls-server-name)",
     true},
    {"wrong version number", "the server does not speak TLS; without TlsOptions (--tls...) the client does not, either",
     true},
    // Also what a server that has no room for connections does, or one that is stopping.
    {"Socket closed",
     "the server ended the connection before its greeting; it may want TLS (--tls, --tls-ca) or a certificate of this "
     "client (--tls-certificate)",
     false},
    {"alert certificate required", "the server wants a certificate of this client: TlsOptions::certificate (--tls-certificate)",
     true},
};

// Null where the message tells of none.
const SecurityFault* FindSecurityFault(const std::string& message) {
  for (const SecurityFault& fault : kSecurityFaults) {
    if (message.find(fault.words) != std::string::npos && message.find("failed to connect") != std::string::npos) {
      return &fault;
    }
  }
  return nullptr;
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
  CallError error = ToCallError(status);
  if (!absl::IsUnavailable(error.status)) return error;
  if (const SecurityFault* const fault = FindSecurityFault(message)) {
    error.status = absl::UnavailableError(absl::StrCat(fault->explanation, ": ", message));
    error.is_lasting = fault->is_lasting;
  }
  return error;
}

}  // namespace prefscore::client
