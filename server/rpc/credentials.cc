// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefscore {
namespace {

// gRPC asks for the certificate at each handshake by its C interface alone: the watchers of files that its C++ interface
// brings poll, and serve a key that does not fit its certificate as soon as they see one.
class TlsListenerCredentials : public grpc::ServerCredentials {
 public:
  explicit TlsListenerCredentials(std::shared_ptr<CertificateFiles> files) : files_(std::move(files)) {
    const bool is_mutual = !files_->Current()->pem.client_ca.empty();
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            is_mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                      : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
            &TlsListenerCredentials::OnHandshake, this));
  }

  ~TlsListenerCredentials() override { grpc_server_credentials_release(credentials_); }

  // Tokens are checked by the services' own code, which knows what may be called without one.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status OnHandshake(void* self,
                                                               grpc_ssl_server_certificate_config** config) {
    return static_cast<TlsListenerCredentials*>(self)->Fetch(config);
  }

  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const std::shared_ptr<const TlsMaterial> material = files_->Current();
    absl::MutexLock lock(&mutex_);
    if (material == served_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    const TlsPem& pem = material->pem;
    const grpc_ssl_pem_key_cert_pair pair = {pem.key.c_str(), pem.certificates.c_str()};
    // gRPC wants authorities here even where it asks no client for a certificate; then any will do.
    const std::string& authorities = pem.client_ca.empty() ? pem.certificates : pem.client_ca;
    *config = grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
    served_ = material;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<CertificateFiles> files_;
  grpc_server_credentials* credentials_;
  absl::Mutex mutex_;
  std::shared_ptr<const TlsMaterial> served_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ListenerCredentials(std::shared_ptr<CertificateFiles> files) {
  if (files == nullptr) return grpc::InsecureServerCredentials();
  return std::make_shared<TlsListenerCredentials>(std::move(files));
}

}  // namespace prefscore
