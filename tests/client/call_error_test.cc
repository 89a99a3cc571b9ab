// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/call_error.h"

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore::client {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;

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

TEST(CallErrorTest, ConnectionsThatCannotBeSecuredAreExplained) {
  constexpr int kUnavailable = static_cast<int>(absl::StatusCode::kUnavailable);
  const std::string wrong_name = "failed to connect to all addresses; last error: Peer name a is not in peer certificate";
  const CallError error = ToCallError(kUnavailable, wrong_name, "");
  EXPECT_THAT(std::string(error.status.message()), AllOf(HasSubstr("--tls-server-name"), EndsWith(": " + wrong_name)));
  EXPECT_TRUE(error.is_lasting);
  const CallError closed = ToCallError(kUnavailable, "failed to connect to all addresses; last error: Socket closed", "");
  EXPECT_THAT(std::string(closed.status.message()), HasSubstr("--tls-ca"));
  EXPECT_FALSE(closed.is_lasting) << "a server that stops does so, too";
  for (const CallError& other : {ToCallError(kUnavailable, "Socket closed", ""),  // later than connecting
                                 ToCallError(kUnavailable, "failed to connect: Connection refused", ""),
                                 ToCallError(kInvalidArgument, wrong_name, "")}) {
    EXPECT_EQ(std::string(other.status.message()).find("--tls"), std::string::npos);
    EXPECT_FALSE(other.is_lasting);
  }
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
