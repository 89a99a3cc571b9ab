// SPDX-License-Identifier: Apache-2.0
// The files that a configuration names, looked at before anything is served.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/config/config.h"
#include "server/tls/certificate_files.h"

namespace prefscore {

// Null where all listeners serve plain text.
absl::StatusOr<std::shared_ptr<CertificateFiles>> OpenCertificateFiles(
    const TransportOptions& options, CertificateFiles::World world);

// What would keep the server from starting, as far as it shows without reading weights; all of it, a line each.
absl::Status CheckFiles(const ServerConfig& config, const std::function<void(const std::string&)>& warn);

}  // namespace prefscore
