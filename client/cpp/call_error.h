// SPDX-License-Identifier: Apache-2.0
// What a failed call says, in terms that need no gRPC.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace google::rpc {
class Status;
}

namespace prefscore::client {

struct CallError {
  // OK where the call succeeded. Otherwise the server's code and message, with the field violations that the message
  // does not already name.
  absl::Status status;
  // How long the server asks us to wait before the next attempt (google.rpc.RetryInfo).
  std::optional<absl::Duration> retry_delay = std::nullopt;
  // A repeated call would meet the same, whatever the code says: a certificate that is not trusted, for one.
  bool is_lasting = false;
};

CallError ToCallError(const google::rpc::Status& status);

// Of a gRPC status; where it tells of a connection that cannot be secured, the message says what helps. `details` is its serialised google.rpc.Status, empty where the server sent none.
CallError ToCallError(int code, const std::string& message, const std::string& details);

}  // namespace prefscore::client
