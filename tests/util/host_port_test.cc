// SPDX-License-Identifier: Apache-2.0
#include "server/util/host_port.h"

#include <gtest/gtest.h>

namespace prefscore {
namespace {

TEST(HostPortTest, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const char* address : {"127.0.0.1:1", "127.255.0.9:50051", "localhost:0", "[::1]:1"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:1", "[::]:1", "128.0.0.1:1", "10.0.0.1:1", "::1:1", "127.1:1", "127.0.0.1.example.org:1",
        "localhost.example.org:1", "127.0.0.1", "", ":1", "[::ffff:10.0.0.1]:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(HostPortTest, PortsAreNumbersThatPortsCanHave) {
  const auto v6 = ParseHostPort("[::1]:50051");
  ASSERT_TRUE(v6.has_value());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 50051);
  for (const char* address : {"a:0", "a:65535", "::1:1"}) EXPECT_TRUE(ParseHostPort(address).has_value()) << address;
  for (const char* address : {"", "a", "a:", ":1", "a:b", "a:-1", "a:65536", "1"}) {
    EXPECT_FALSE(ParseHostPort(address).has_value()) << address;
  }
}

TEST(HostPortTest, HostIsWhatStandsBeforeTheLastColon) {
  EXPECT_EQ(HostOf("localhost:1"), "localhost");
  EXPECT_EQ(HostOf("[::1]:1"), "[::1]");
  EXPECT_EQ(HostOf("localhost"), "");
}

}  // namespace
}  // namespace prefscore
