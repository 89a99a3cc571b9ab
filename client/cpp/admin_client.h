// SPDX-License-Identifier: Apache-2.0
// An operator's client of a server's admin listener.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/channel.h"
#include "prefscore/v1/admin.pb.h"

namespace prefscore::client {

// Thread-safe. Nothing is retried: who asks is there to see why not. Errors carry the server's code and message.
class AdminClient {
 public:
  // `address` is HOST:PORT of --admin-listen; `timeout` is that of each call. Errors are those of MakeChannel.
  static absl::StatusOr<std::unique_ptr<AdminClient>> Connect(const std::string& address, absl::Duration timeout,
                                                              const SecurityOptions& security);
  ~AdminClient();

  absl::StatusOr<v1::GetStatusResponse> GetStatus();
  absl::StatusOr<v1::SetLogLevelResponse> SetLogLevel(v1::LogLevel level);
  absl::StatusOr<v1::ReloadTokensResponse> ReloadTokens();

 private:
  struct Stub;
  AdminClient(std::unique_ptr<Stub> stub, absl::Duration timeout);

  const std::unique_ptr<Stub> stub_;
  const absl::Duration timeout_;
};

}  // namespace prefscore::client
