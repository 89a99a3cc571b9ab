// SPDX-License-Identifier: Apache-2.0
#include "server/tls/certificate_files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// Far more than any chain or bundle of authorities needs; another kind of file is not read into memory.
constexpr std::size_t kMaxFileBytes = 4 << 20;

absl::Status ReadFile(const char* flag, const std::string& path, std::string& content) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  const auto fail = [&](const std::string& why) {
    return TlsFileError(flag, path, absl::StrCat("cannot be read: ", why));
  };
  if (file == nullptr) return fail(std::strerror(errno));
  char buffer[1 << 14];
  while (const std::size_t size = std::fread(buffer, 1, sizeof(buffer), file.get())) {
    content.append(buffer, size);
    if (content.size() > kMaxFileBytes) return fail(absl::StrCat("it is longer than ", kMaxFileBytes, " bytes"));
  }
  if (std::ferror(file.get()) != 0) return fail(std::strerror(errno));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<CertificateFiles>> CertificateFiles::Open(TlsFiles files, World world) {
  const std::shared_ptr<CertificateFiles> result(new CertificateFiles(std::move(files), std::move(world)));
  absl::MutexLock lock(&result->mutex_);
  RETURN_IF_ERROR(result->Read());
  return result;
}

std::shared_ptr<const TlsMaterial> CertificateFiles::Current() {
  absl::MutexLock lock(&mutex_);
  const absl::Duration since_read = world_.now() - read_at_;
  if (since_read >= absl::ZeroDuration() && since_read < kMinReadInterval) return current_;
  const absl::Status status = Read();
  if (status.message() != fault_) {
    fault_ = std::string(status.message());
    is_warned_ = false;
  } else if (!fault_.empty() && !std::exchange(is_warned_, true)) {
    world_.warn(absl::StrCat("the certificate files have changed and cannot be used; the certificate before them stays in "
                             "use. ", fault_));
  }
  return current_;
}

absl::Status CertificateFiles::Read() {
  read_at_ = world_.now();
  TlsPem pem;
  RETURN_IF_ERROR(ReadFile("--tls-certificate", files_.certificate, pem.certificates));
  RETURN_IF_ERROR(ReadFile("--tls-key", files_.key, pem.key));
  if (!files_.client_ca.empty()) {
    RETURN_IF_ERROR(ReadFile("--tls-client-ca", files_.client_ca, pem.client_ca));
    // An empty file is a fault; it must not mean that clients need no certificate.
    if (pem.client_ca.empty()) return TlsFileError("--tls-client-ca", files_.client_ca, "is empty");
  }
  if (current_ != nullptr && current_->pem == pem) return absl::OkStatus();
  ASSIGN_OR_RETURN(current_, ParseTlsMaterial(std::move(pem), files_, read_at_));
  world_.note(absl::StrCat("the certificate of '", files_.certificate, "' is in use; it ends at ",
                           DateText(current_->expires_at)));
  if (!current_->warning.empty()) world_.warn(current_->warning);
  return absl::OkStatus();
}

}  // namespace prefscore
