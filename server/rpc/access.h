// SPDX-License-Identifier: Apache-2.0
// Who makes a call, and whether they may: asked by every call and stream before anything of it is parsed.
//
// gRPC reads the message of a unary call before its handler runs, so a call without a token costs the server up to
// max_message_bytes for a moment. (It has a hook before that, AuthMetadataProcessor, but on TLS only: then there would be
// two ways.) Streams are refused before anything is read.
#pragma once

#include <grpcpp/server_context.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/access/token_store.h"

namespace prefscore {

// What calls of a service must show.
struct AccessRule {
  const TokenStore* tokens = nullptr;  // null: everybody may call
  Role role = Role::kScore;
};

// Who made a call.
class Caller {
 public:
  // Everybody.
  Caller() = default;

  // Whether they still may: for streams, from message to message.
  absl::Status Recheck() const;

  // Empty where everybody may call.
  std::string name() const { return token_ == nullptr ? "" : token_->entry.name; }
  // Null where there is none.
  std::shared_ptr<Quota> quota() const { return token_ == nullptr ? nullptr : token_->quota; }

 private:
  friend absl::StatusOr<Caller> CheckAccess(const AccessRule&, const grpc::ServerContextBase&);
  AccessRule rule_;
  TokenPtr token_;  // null: everybody may call
};

// Errors are those of TokenStore::Authorize.
absl::StatusOr<Caller> CheckAccess(const AccessRule& rule, const grpc::ServerContextBase& rpc);

}  // namespace prefscore
