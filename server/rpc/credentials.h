// SPDX-License-Identifier: Apache-2.0
// Transport security of a gRPC listener.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/tls/certificate_files.h"

namespace prefscore {

// For one listening port; keep them until its server is gone. TLS 1.2 or newer with the certificate that `files` hold
// when a connection is made: replaced files hold for new connections, and leave those that are open alone. Where they
// name a client authority, clients must show a certificate of it. Plain text where `files` is null.
std::shared_ptr<grpc::ServerCredentials> ListenerCredentials(std::shared_ptr<CertificateFiles> files);

}  // namespace prefscore
