// SPDX-License-Identifier: Apache-2.0
// The files of a listener's certificate, read again when they change: a certificate is renewed by replacing its files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/tls/tls_material.h"

namespace prefscore {

// Thread-safe. Has no thread: who asks for the material, at each new connection, has the files looked at.
class CertificateFiles {
 public:
  struct World {
    std::function<absl::Time()> now = absl::Now;
    std::function<void(const std::string&)> warn = [](const std::string&) {};
    std::function<void(const std::string&)> note = [](const std::string&) {};  // of what goes as it should
  };

  // The files are read at most this often.
  static constexpr absl::Duration kMinReadInterval = absl::Seconds(1);

  // INVALID_ARGUMENT names flag, file and fault.
  static absl::StatusOr<std::shared_ptr<CertificateFiles>> Open(TlsFiles files, World world);

  // What the files hold. Files that cannot be used change nothing, and are warned of once, where they are still so at the
  // next look: a certificate and its key are replaced one after the other.
  std::shared_ptr<const TlsMaterial> Current();

 private:
  CertificateFiles(TlsFiles files, World world) : files_(std::move(files)), world_(std::move(world)) {}

  // Reads, and takes what can be used.
  absl::Status Read() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const TlsFiles files_;
  const World world_;
  absl::Mutex mutex_;
  std::shared_ptr<const TlsMaterial> current_ ABSL_GUARDED_BY(mutex_);
  absl::Time read_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::string fault_ ABSL_GUARDED_BY(mutex_);  // that the files had when last looked at; empty: none
  bool is_warned_ ABSL_GUARDED_BY(mutex_) = false;  // of fault_
};

}  // namespace prefscore
