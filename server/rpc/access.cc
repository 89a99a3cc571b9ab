// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/access.h"

#include <string_view>
#include <vector>

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
  std::vector<std::string_view> authorizations;
  for (auto header = begin; header != end; ++header) {
    authorizations.emplace_back(header->second.data(), header->second.size());
  }
  ASSIGN_OR_RETURN(caller.token_, rule.tokens->Authorize(authorizations, rule.role));
  caller.rule_ = rule;
  return caller;
}

}  // namespace prefscore
