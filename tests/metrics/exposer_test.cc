// SPDX-License-Identifier: Apache-2.0
// Who is shown the metrics. How they are served over TLS is tested with real clients, in tests/e2e/security.
#include "server/metrics/exposer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "prometheus/counter.h"
#include "prometheus/registry.h"

namespace prefscore {
namespace {

class ExposerTest : public ::testing::Test {
 protected:
  void Start(std::function<bool(const std::string&)> may_scrape) {
    const auto registry = std::make_shared<prometheus::Registry>();
    prometheus::BuildCounter().Name("secret_total").Register(*registry).Add({});
    auto exposer = MetricsExposer::Start({.address = "127.0.0.1:0", .may_scrape = std::move(may_scrape)}, {registry});
    ASSERT_TRUE(exposer.ok()) << exposer.status();
    exposer_ = *std::move(exposer);
  }

  httplib::Client Client() const { return httplib::Client("127.0.0.1", exposer_->port()); }

  std::unique_ptr<MetricsExposer> exposer_;
};

TEST_F(ExposerTest, ShowsMetricsToWhoMaySeeThem) {
  Start([](const std::string& authorization) { return authorization == "Bearer right"; });
  auto client = Client();
  for (const httplib::Headers& headers :
       {httplib::Headers{}, {{"Authorization", "Bearer wrong"}}, {{"Authorization", "right"}}, {{"Authorization", ""}}}) {
    const auto refused = client.Get("/metrics", headers);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, 401);
    EXPECT_EQ(refused->get_header_value("WWW-Authenticate"), "Bearer");
    EXPECT_EQ(refused->body.find("secret"), std::string::npos);
  }
  const auto shown = client.Get("/metrics", {{"Authorization", "Bearer right"}});
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, 200);
  EXPECT_NE(shown->body.find("secret_total 0"), std::string::npos) << shown->body;
}

TEST_F(ExposerTest, ServesNothingElse) {
  Start(nullptr);
  auto client = Client();
  EXPECT_EQ(client.Get("/metrics")->status, 200);
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_EQ(client.Get("/metrics/../etc/passwd")->status, 404);
  EXPECT_EQ(client.Post("/metrics", "x", "text/plain")->status, 404);
  EXPECT_EQ(client.Get("/metrics")->status, 200);
}

// They hold all threads that serve.
TEST_F(ExposerTest, SilentConnectionsDelayAScrapeAndNoMore) {
  Start(nullptr);
  std::vector<int> silent;
  for (int i = 0; i < 8; ++i) {
    silent.push_back(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(exposer_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(silent.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  auto client = Client();
  client.set_read_timeout(60);
  const auto shown = client.Get("/metrics");
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, 200);
  for (const int descriptor : silent) close(descriptor);
}

}  // namespace
}  // namespace prefscore
