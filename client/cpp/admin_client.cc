// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/admin_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "absl/time/clock.h"
#include "client/cpp/call_error.h"
#include "prefscore/v1/admin.grpc.pb.h"

namespace prefscore::client {

struct AdminClient::Stub {
  explicit Stub(const std::shared_ptr<grpc::Channel>& channel) : admin(channel) {}

  v1::AdminService::Stub admin;
};

namespace {

template <typename Response, typename Request>
absl::StatusOr<Response> CallMethod(v1::AdminService::Stub& stub, absl::Duration timeout,
                                    grpc::Status (v1::AdminService::Stub::*method)(grpc::ClientContext*,
                                                                                   const Request&, Response*),
                                    const Request& request) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) return ToCallError(status.error_code(), status.error_message(), status.error_details()).status;
  return response;
}

}  // namespace

AdminClient::AdminClient(std::unique_ptr<Stub> stub, absl::Duration timeout)
    : stub_(std::move(stub)), timeout_(timeout) {}
AdminClient::~AdminClient() = default;

absl::StatusOr<std::unique_ptr<AdminClient>> AdminClient::Connect(const std::string& address, absl::Duration timeout,
                                                                  const SecurityOptions& security) {
  const auto channel = MakeChannel(address, security);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<AdminClient>(new AdminClient(std::make_unique<Stub>(*channel), timeout));
}

absl::StatusOr<v1::GetStatusResponse> AdminClient::GetStatus() {
  return CallMethod(stub_->admin, timeout_, &v1::AdminService::Stub::GetStatus, v1::GetStatusRequest());
}

absl::StatusOr<v1::SetLogLevelResponse> AdminClient::SetLogLevel(v1::LogLevel level) {
  v1::SetLogLevelRequest request;
  request.set_log_level(level);
  return CallMethod(stub_->admin, timeout_, &v1::AdminService::Stub::SetLogLevel, request);
}

absl::StatusOr<v1::ReloadTokensResponse> AdminClient::ReloadTokens() {
  return CallMethod(stub_->admin, timeout_, &v1::AdminService::Stub::ReloadTokens, v1::ReloadTokensRequest());
}

}  // namespace prefscore::client
