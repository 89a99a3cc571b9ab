// SPDX-License-Identifier: Apache-2.0
#include "server/config/transport_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const ListenOptions kLoopback = {.grpc = "127.0.0.1:1", .metrics = "localhost:2"};

std::string Fault(const TransportOptions& options, const ListenOptions& listen) {
  const absl::Status status = CheckOptions(options, listen);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(TransportOptionsTest, PlainTextStaysOnThisMachineUnlessAskedFor) {
  EXPECT_TRUE(CheckOptions({}, kLoopback).ok());
  EXPECT_TRUE(CheckOptions({}, {.grpc = "[::1]:1", .metrics = ""}).ok());
  for (const char* address : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "scores.example:1"}) {
    EXPECT_THAT(Fault({}, {.grpc = address}),
                AllOf(StartsWith("--listen: "), HasSubstr(address), HasSubstr("--tls-certificate"),
                      HasSubstr("--allow-plaintext"), HasSubstr("127.0.0.1")));
    EXPECT_THAT(Fault({}, {.metrics = address}), StartsWith("--metrics-listen: "));
    EXPECT_TRUE(CheckOptions({.allow_plaintext = true}, {.grpc = address, .metrics = address}).ok());
    EXPECT_TRUE(CheckOptions({.tls = {.certificate = "c", .key = "k"}}, {.grpc = address, .metrics = address}).ok());
  }
}

TEST(TransportOptionsTest, FilesThatNeedOthers) {
  EXPECT_EQ(Fault({.tls = {.certificate = "c"}}, kLoopback), "--tls-certificate: needs --tls-key too");
  EXPECT_EQ(Fault({.tls = {.key = "k"}}, kLoopback), "--tls-key: needs --tls-certificate too");
  EXPECT_THAT(Fault({.tls = {.client_ca = "a"}}, kLoopback), StartsWith("--tls-client-ca: needs --tls-certificate"));
}

TEST(TransportOptionsTest, ReflectionIsForThisMachineUnlessAskedFor) {
  EXPECT_TRUE(HasReflection({}, kLoopback));
  EXPECT_FALSE(HasReflection({}, {.grpc = "0.0.0.0:1"}));
  EXPECT_TRUE(HasReflection({.reflection = "on"}, {.grpc = "0.0.0.0:1"}));
  EXPECT_FALSE(HasReflection({.reflection = "off"}, kLoopback));
  EXPECT_THAT(Fault({.reflection = "yes"}, kLoopback), StartsWith("--reflection: 'yes' is not one of: auto, on, off"));
}

}  // namespace
}  // namespace prefscore
