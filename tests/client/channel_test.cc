// SPDX-License-Identifier: Apache-2.0
// How a connection is made. What it carries over TLS is tested with real servers, in tests/e2e/security.
#include "client/cpp/channel.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cpp/scoring_client.h"
#include "tests/testing/fake_scoring_server.h"

namespace prefscore::client {
namespace {

// Listens, and answers nobody.
class FakeProxy {
 public:
  FakeProxy() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
      setenv(name, absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port)).c_str(), 1);
    }
    for (const char* name : {"no_grpc_proxy", "no_proxy"}) unsetenv(name);
  }
  ~FakeProxy() {
    for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy"}) unsetenv(name);
    close(listener_);
  }

  bool WasAsked() const {
    const int connection = accept(listener_, nullptr, nullptr);
    if (connection >= 0) close(connection);
    return connection >= 0;
  }

 private:
  const int listener_;
};

TEST(ChannelTest, NoProxySeesWhatIsSentInPlainTextToThisMachine) {
  prefscore::testing::FakeScoringServer server;
  const FakeProxy proxy;
  ClientOptions options;
  options.timeout = absl::Minutes(5);
  options.retry.max_attempts = 1;
  options.security.token = "secret";
  const auto client = ScoringClient::Connect(server.address(), options);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto response = (*client)->ScorePairs(v1::ScorePairsRequest());
  EXPECT_TRUE(response.ok()) << response.status();
  EXPECT_FALSE(proxy.WasAsked());
}

}  // namespace
}  // namespace prefscore::client
