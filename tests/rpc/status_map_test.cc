// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/status_map.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "server/util/error_reason.h"
#include "server/util/field_error.h"
#include "server/util/retry_delay.h"

namespace prefscore {
namespace {

template <typename Detail>
bool Find(const google::rpc::Status& status, Detail& detail) {
  for (const auto& any : status.details()) {
    if (any.UnpackTo(&detail)) return true;
  }
  return false;
}

struct ExpectedRow {
  absl::StatusCode code;
  grpc::StatusCode grpc_code;
  std::string reason;
  bool has_retry;
};

class StatusTableTest : public ::testing::TestWithParam<ExpectedRow> {};

TEST_P(StatusTableTest, MapsCodeReasonAndRetry) {
  const ExpectedRow& expected = GetParam();
  const grpc::Status grpc_status = ToGrpcStatus(WithRetryDelay(absl::Status(expected.code, "what"), absl::Milliseconds(2500)));
  EXPECT_EQ(grpc_status.error_code(), expected.grpc_code);
  EXPECT_EQ(grpc_status.error_message(), "what");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(grpc_status.error_details()));
  EXPECT_EQ(details.code(), expected.grpc_code);
  EXPECT_EQ(details.message(), "what");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(details, info));
  EXPECT_EQ(info.domain(), "prefscore");
  EXPECT_EQ(info.reason(), expected.reason);
  google::rpc::RetryInfo retry;
  ASSERT_EQ(Find(details, retry), expected.has_retry);
  if (expected.has_retry) {
    EXPECT_EQ(retry.retry_delay().seconds(), 2);
    EXPECT_EQ(retry.retry_delay().nanos(), 500'000'000);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, StatusTableTest,
    ::testing::Values(
        ExpectedRow{absl::StatusCode::kCancelled, grpc::CANCELLED, "CANCELLED", false},
        ExpectedRow{absl::StatusCode::kInvalidArgument, grpc::INVALID_ARGUMENT, "INVALID_FIELD", false},
        ExpectedRow{absl::StatusCode::kDeadlineExceeded, grpc::DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", false},
        ExpectedRow{absl::StatusCode::kNotFound, grpc::NOT_FOUND, "UNKNOWN_MODEL", false},
        ExpectedRow{absl::StatusCode::kResourceExhausted, grpc::RESOURCE_EXHAUSTED, "QUEUE_FULL", true},
        ExpectedRow{absl::StatusCode::kFailedPrecondition, grpc::FAILED_PRECONDITION, "MODEL_DOES_NOT_FIT", false},
        ExpectedRow{absl::StatusCode::kOutOfRange, grpc::OUT_OF_RANGE, "NON_FINITE_LOG_PROB", false},
        ExpectedRow{absl::StatusCode::kInternal, grpc::INTERNAL, "INTERNAL", false},
        ExpectedRow{absl::StatusCode::kUnavailable, grpc::UNAVAILABLE, "SHUTTING_DOWN", true},
        ExpectedRow{absl::StatusCode::kUnauthenticated, grpc::UNAUTHENTICATED, "NO_VALID_TOKEN", false},
        ExpectedRow{absl::StatusCode::kPermissionDenied, grpc::PERMISSION_DENIED, "MISSING_ROLE", false},
        // Codes that the service does not use are its own bugs.
        ExpectedRow{absl::StatusCode::kUnknown, grpc::INTERNAL, "INTERNAL", false},
        ExpectedRow{absl::StatusCode::kAlreadyExists, grpc::INTERNAL, "INTERNAL", false},
        ExpectedRow{absl::StatusCode::kAborted, grpc::INTERNAL, "INTERNAL", false},
        ExpectedRow{absl::StatusCode::kUnimplemented, grpc::INTERNAL, "INTERNAL", false},
        ExpectedRow{absl::StatusCode::kDataLoss, grpc::INTERNAL, "INTERNAL", false}),
    [](const auto& info) { return absl::StatusCodeToString(info.param.code); });

TEST(StatusMapTest, EveryRowOfTheTableIsTestedAbove) { EXPECT_EQ(StatusTable().size(), 11); }

TEST(StatusMapTest, AReasonOfItsOwnGoesBeforeThatOfTheCode) {
  const absl::Status status = WithReason(absl::ResourceExhaustedError("what"), "OVER_QUOTA");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(Find(ToRpcStatus(status), info));
  EXPECT_EQ(info.reason(), "OVER_QUOTA");
}

TEST(StatusMapTest, OkHasNoDetails) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  EXPECT_EQ(ToGrpcStatus(absl::OkStatus()).error_details(), "");
  EXPECT_EQ(ToRpcStatus(absl::OkStatus()).ByteSizeLong(), 0);
}

TEST(StatusMapTest, AFieldBecomesAViolationOfInvalidArgumentOnly) {
  const absl::Status fault = UnderField("pairs[3]", FieldError("chosen", "is empty"));
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(Find(ToRpcStatus(fault), bad_request));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "pairs[3].chosen");
  EXPECT_EQ(bad_request.field_violations(0).description(), "pairs[3].chosen: is empty");
  EXPECT_FALSE(Find(ToRpcStatus(UnderField("pairs[3]", absl::OutOfRangeError("NaN"))), bad_request));
  EXPECT_FALSE(Find(ToRpcStatus(absl::InvalidArgumentError("no field")), bad_request));
}

TEST(StatusMapTest, AReasonOfItsOwnIsToldAndIsNoReasonToComeAgain) {
  google::rpc::ErrorInfo info;
  google::rpc::RetryInfo retry;
  const absl::Status fault = WithReason(absl::ResourceExhaustedError("too long"), kOutOfMemoryReason);
  ASSERT_TRUE(Find(ToRpcStatus(fault), info));
  EXPECT_EQ(info.reason(), "OUT_OF_MEMORY");
  EXPECT_FALSE(Find(ToRpcStatus(fault), retry));
  EXPECT_TRUE(Find(ToRpcStatus(WithRetryDelay(fault, absl::Seconds(2))), retry));
}

TEST(StatusMapTest, LongMessagesAreCutBetweenCharacters) {
  std::string message = "x";
  for (int idx = 0; idx < 5000; ++idx) message += "\u00e9";
  const grpc::Status status = ToGrpcStatus(FieldError("pairs[3].chosen", message));
  EXPECT_LT(status.error_message().size(), 1100);
  EXPECT_TRUE(status.error_message().ends_with("\u00e9..."));
  // The trailer is base64 (4/3) and the message percent-encoded (at most 3); gRPC's limit is 8 KiB for all of them.
  EXPECT_LT(3 * status.error_message().size() + status.error_details().size() * 4 / 3, 8000);
}

}  // namespace
}  // namespace prefscore
