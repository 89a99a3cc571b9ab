// SPDX-License-Identifier: Apache-2.0
#include "server/startup/check_files.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/access/token_file.h"
#include "server/models/load_model.h"
#include "server/startup/load_models.h"

namespace prefscore {
namespace {

absl::Status CheckTokenFile(const AccessOptions& options) {
  return options.token_file.empty() ? absl::OkStatus() : ReadTokenFile(options.token_file).status();
}

}  // namespace

absl::StatusOr<std::shared_ptr<CertificateFiles>> OpenCertificateFiles(
    const TransportOptions& options, CertificateFiles::World world) {
  if (options.tls.certificate.empty()) return nullptr;
  return CertificateFiles::Open(options.tls, std::move(world));
}

absl::Status CheckFiles(const ServerConfig& config, const std::function<void(const std::string&)>& warn) {
  std::string faults;
  for (const absl::Status& status :
       {OpenCertificateFiles(config.transport, {.warn = warn}).status(), CheckTokenFile(config.access)}) {
    if (!status.ok()) absl::StrAppend(&faults, faults.empty() ? "" : "\n", std::string(status.message()));
  }
  for (const ModelFolder& model : config.models.folders) {
    for (const absl::Status& status : {CheckModelFolder(model.folder), LoadTokenizer(model, config.limits).status()}) {
      if (!status.ok()) {
        absl::StrAppend(&faults, faults.empty() ? "" : "\n", std::string(OfModel(model, status).message()));
      }
    }
  }
  return faults.empty() ? absl::OkStatus() : absl::FailedPreconditionError(faults);
}

}  // namespace prefscore
