// SPDX-License-Identifier: Apache-2.0
// The one table from absl::Status to what a client sees: gRPC code, reason, and whether a retry is suggested.
#pragma once

#include <grpcpp/support/status.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "google/rpc/status.pb.h"

namespace prefscore {

struct StatusRow {
  absl::StatusCode code;    // inside the server
  grpc::StatusCode grpc_code;
  const char* reason;       // of the google.rpc.ErrorInfo, whose domain is "prefscore"
  bool suggests_retry;      // a google.rpc.RetryInfo goes along
};

// A row for each code that the service uses; all others are bugs of the server and become INTERNAL.
const std::vector<StatusRow>& StatusTable();

// The same error, for a stream's end: pairs before `index` have their results, pairs from it on may be sent again. It
// becomes "resume_index" in the ErrorInfo's metadata. REQUIRES: `status` is not OK.
absl::Status WithResumeIndex(absl::Status status, std::int64_t index);

// Details: ErrorInfo always (with the reason that `status` carries, error_reason.h, or the row's), BadRequest where
// `status` is an INVALID_ARGUMENT that carries a field (field_error.h),
// RetryInfo where the table says so, with the delay that `status` carries (retry_delay.h), or 1 s. Long messages are
// cut: trailers are limited to 8 KiB.
google::rpc::Status ToRpcStatus(const absl::Status& status);
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace prefscore
