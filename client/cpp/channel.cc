// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_interceptor.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/host_port.h"

namespace prefscore::client {
namespace {

using grpc::experimental::InterceptionHookPoints;

// Adds the token to the headers of a call.
class TokenInterceptor : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::string& header) : header_(header) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->emplace("authorization", header_);
    }
    methods->Proceed();
  }

 private:
  const std::string header_;
};

class TokenInterceptorFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(const std::string& token) : header_(absl::StrCat("Bearer ", token)) {}

  grpc::experimental::Interceptor* CreateClientInterceptor(grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(header_);  // gRPC deletes it
  }

 private:
  const std::string header_;
};

bool IsVisibleAscii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

absl::Status CheckSecurity(const std::string& address, const SecurityOptions& security) {
  if (security.tls && security.tls->certificate.empty() != security.tls->key.empty()) {
    return absl::InvalidArgumentError("a client's certificate and its key are given together or not at all");
  }
  if (!IsVisibleAscii(security.token)) {
    return absl::InvalidArgumentError("the token must be visible ASCII characters, without spaces");
  }
  if (!security.token.empty() && !security.tls && !IsLoopback(address)) {
    return absl::InvalidArgumentError(absl::StrCat("a token is not sent in plain text to ", address,
                                                   ": anybody on the way could read it. Use TLS, or a loopback address"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& address,
                                                           const SecurityOptions& security) {
  if (const absl::Status status = CheckSecurity(address, security); !status.ok()) return status;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // per-token results outgrow the default of 4 MiB
  // While the channel backs off, calls fail without an attempt; the retry policy is the one that waits.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  if (security.tls && !security.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(security.tls->server_name);
  }
  // Else gRPC sends even this through the proxy of http_proxy, a token in plain text included.
  if (IsLoopback(address)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (!security.token.empty()) interceptors.push_back(std::make_unique<TokenInterceptorFactory>(security.token));
  const auto credentials =
      security.tls ? grpc::SslCredentials({security.tls->root_certificates, security.tls->key, security.tls->certificate})
                   : grpc::InsecureChannelCredentials();
  return grpc::experimental::CreateCustomChannelWithInterceptors(address, credentials, arguments,
                                                                 std::move(interceptors));
}

}  // namespace prefscore::client
