// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/status_map.h"

#include <optional>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "server/util/error_reason.h"
#include "server/util/field_error.h"
#include "server/util/retry_delay.h"

namespace prefscore {
namespace {

constexpr char kErrorDomain[] = "prefscore";
constexpr char kResumeIndexPayload[] = "prefscore/resume_index";
constexpr std::size_t kMaxMessageBytes = 1024;  // occurs three times in the trailers, which gRPC limits to 8 KiB

constexpr absl::Duration kDefaultRetryDelay = absl::Seconds(1);

constexpr StatusRow kInternalRow = {absl::StatusCode::kInternal, grpc::INTERNAL, "INTERNAL", false};

const StatusRow& RowOf(absl::StatusCode code) {
  for (const StatusRow& row : StatusTable()) {
    if (row.code == code) return row;
  }
  return kInternalRow;
}

// Cuts at a character's start.
std::string Shortened(std::string text) {
  if (text.size() <= kMaxMessageBytes) return text;
  std::size_t end = kMaxMessageBytes;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  text.resize(end);
  return text + "...";
}

template <typename Detail>
void AddDetail(const Detail& detail, google::rpc::Status& status) {
  status.add_details()->PackFrom(detail);
}

}  // namespace

const std::vector<StatusRow>& StatusTable() {
  static const auto* const kTable = new std::vector<StatusRow>{
      {absl::StatusCode::kCancelled, grpc::CANCELLED, "CANCELLED", false},
      {absl::StatusCode::kInvalidArgument, grpc::INVALID_ARGUMENT, "INVALID_FIELD", false},
      {absl::StatusCode::kDeadlineExceeded, grpc::DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", false},
      {absl::StatusCode::kNotFound, grpc::NOT_FOUND, "UNKNOWN_MODEL", false},
      {absl::StatusCode::kResourceExhausted, grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", true},
      {absl::StatusCode::kFailedPrecondition, grpc::FAILED_PRECONDITION, "MODEL_DOES_NOT_FIT", false},
      {absl::StatusCode::kOutOfRange, grpc::OUT_OF_RANGE, "NON_FINITE_LOG_PROB", false},
      {absl::StatusCode::kInternal, grpc::INTERNAL, "INTERNAL", false},
      {absl::StatusCode::kUnavailable, grpc::UNAVAILABLE, "SHUTTING_DOWN", true},
      {absl::StatusCode::kUnauthenticated, grpc::UNAUTHENTICATED, "NO_VALID_TOKEN", false},
      {absl::StatusCode::kPermissionDenied, grpc::PERMISSION_DENIED, "MISSING_ROLE", false},
  };
  return *kTable;
}

absl::Status WithResumeIndex(absl::Status status, std::int64_t index) {
  const std::string text = absl::StrCat(index);  // clang and the system's abseil disagree on Cord(std::string&&)
  status.SetPayload(kResumeIndexPayload, absl::Cord(text));
  return status;
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status result;
  if (status.ok()) return result;
  const StatusRow& row = RowOf(status.code());
  const std::string message = Shortened(std::string(status.message()));
  result.set_code(row.grpc_code);
  result.set_message(message);

  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  const std::string own_reason = ReasonOf(status);
  info.set_reason(own_reason.empty() ? row.reason : own_reason);
  if (const auto resume_index = status.GetPayload(kResumeIndexPayload)) {
    (*info.mutable_metadata())["resume_index"] = std::string(*resume_index);
  }
  AddDetail(info, result);

  const std::string field = FieldOf(status);
  if (row.grpc_code == grpc::INVALID_ARGUMENT && !field.empty()) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(Shortened(field));
    violation->set_description(message);
    AddDetail(bad_request, result);
  }
  const std::optional<absl::Duration> own_delay = RetryDelayOf(status);
  if (row.suggests_retry && (own_reason.empty() || own_delay.has_value())) {
    const absl::Duration retry_delay = own_delay.value_or(kDefaultRetryDelay);
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(retry_delay));
    retry.mutable_retry_delay()->set_nanos(
        static_cast<std::int32_t>(absl::ToInt64Nanoseconds(retry_delay % absl::Seconds(1))));
    AddDetail(retry, result);
  }
  return result;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status details = ToRpcStatus(status);
  return grpc::Status(static_cast<grpc::StatusCode>(details.code()), details.message(), details.SerializeAsString());
}

}  // namespace prefscore
