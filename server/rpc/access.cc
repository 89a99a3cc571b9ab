// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/access.h"

#include <optional>
#include <string_view>

#include "server/util/status_macros.h"

namespace prefscore {

absl::Status Caller::Recheck() const {
  return token_ == nullptr ? absl::OkStatus() : rule_.tokens->Recheck(*token_, rule_.role);
}

absl::StatusOr<Caller> CheckAccess(const AccessRule& rule, const grpc::ServerContextBase& rpc) {
  Caller caller;
  if (rule.tokens == nullptr) return caller;
  const auto& metadata = rpc.client_metadata();
  const auto [begin, end] = metadata.equal_range("authorization");
  std::optional<std::string_view> authorization;
  if (begin != end) authorization = std::string_view(begin->second.data(), begin->second.size());
  // Of two, another server on the way may have checked the other one.
  if (begin != end && std::next(begin) != end) authorization = "";
  ASSIGN_OR_RETURN(caller.token_, rule.tokens->Authorize(authorization, rule.role));
  caller.rule_ = rule;
  return caller;
}

}  // namespace prefscore
