// SPDX-License-Identifier: Apache-2.0
// A connection to a server: how it is protected, and who is calling.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace grpc {
class Channel;
}

namespace prefscore::client {

// All PEM.
struct TlsOptions {
  std::string root_certificates;  // whom to trust; empty: whom this machine trusts
  std::string server_name = "";   // that its certificate must have; empty: the address's
  std::string certificate;        // this client's, where the server asks for one; given with its key or not at all
  std::string key;
};

struct SecurityOptions {
  std::optional<TlsOptions> tls;  // nothing: plain text
  std::string token;              // sent with each call ("authorization: Bearer ..."); empty: none
};

// INVALID_ARGUMENT where the options contradict each other, or would send a token in plain text to another machine.
absl::Status CheckSecurity(const std::string& address, const SecurityOptions& security);

// Returns at once; the connection is made by the first call. Errors are CheckSecurity's. No proxy of the environment is
// used to reach this machine itself.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& address, const SecurityOptions& security);

}  // namespace prefscore::client
