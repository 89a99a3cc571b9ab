// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/call_error.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace prefscore::client {
namespace {

constexpr int kInvalidArgument = static_cast<int>(absl::StatusCode::kInvalidArgument);

google::rpc::Status WithViolation(const std::string& message) {
  google::rpc::BadRequest bad_request;
  auto& violation = *bad_request.add_field_violations();
  violation.set_field("options.objectives[0].beta");
  violation.set_description("is -1; it must be > 0");
  google::rpc::Status status;
  status.set_code(kInvalidArgument);
  status.set_message(message);
  status.add_details()->PackFrom(bad_request);
  return status;
}

TEST(CallErrorTest, FieldViolationsJoinTheMessage) {
  const CallError error =
      ToCallError(kInvalidArgument, "bad request", WithViolation("bad request").SerializeAsString());
  EXPECT_EQ(error.status,
            absl::InvalidArgumentError("bad request [options.objectives[0].beta: is -1; it must be > 0]"));
  EXPECT_FALSE(error.retry_delay.has_value());
}

TEST(CallErrorTest, WhatTheMessageTellsAlreadyIsNotRepeated) {
  const std::string message = "options.objectives[0].beta: is -1; it must be > 0";
  EXPECT_EQ(ToCallError(WithViolation(message)).status, absl::InvalidArgumentError(message));
}

TEST(CallErrorTest, RetryInfoIsRead) {
  google::rpc::RetryInfo info;
  info.mutable_retry_delay()->set_seconds(2);
  info.mutable_retry_delay()->set_nanos(500'000'000);
  google::rpc::Status status;
  status.set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
  status.add_details()->PackFrom(info);
  EXPECT_EQ(ToCallError(status).retry_delay, absl::Milliseconds(2500));
}

TEST(CallErrorTest, DetailsThatDoNotParseAreLeftOut) {
  EXPECT_EQ(ToCallError(kInvalidArgument, "bad", "\xff\xff").status, absl::InvalidArgumentError("bad"));
}

TEST(CallErrorTest, OkIsOk) { EXPECT_TRUE(ToCallError(0, "", "").status.ok()); }

}  // namespace
}  // namespace prefscore::client
