// SPDX-License-Identifier: Apache-2.0
// Who is shown the metrics. How they are served over TLS is tested with real clients, in tests/e2e/security.
#include "server/metrics/exposer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "prometheus/counter.h"
#include "prometheus/registry.h"

namespace prefscore {
namespace {

class ExposerTest : public ::testing::Test {
 protected:
  void Start(ExposerOptions options) {
    const auto registry = std::make_shared<prometheus::Registry>();
    prometheus::BuildCounter().Name("secret_total").Register(*registry).Add({});
    options.address = "127.0.0.1:0";
    auto exposer = MetricsExposer::Start(std::move(options), {registry});
    ASSERT_TRUE(exposer.ok()) << exposer.status();
    exposer_ = *std::move(exposer);
  }

  httplib::Client Client() const { return httplib::Client("127.0.0.1", exposer_->port()); }

  int Connect() const {
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(exposer_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return descriptor;
  }

  // How many times `bytes` are taken before the connection is closed; at most so often.
  static int Pour(int descriptor, const std::string& bytes, int max_times, absl::Duration pause) {
    int num_times = 0;
    while (num_times < max_times && send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
      ++num_times;
      absl::SleepFor(pause);
    }
    return num_times;
  }

  std::unique_ptr<MetricsExposer> exposer_;
};

TEST_F(ExposerTest, ShowsMetricsToWhoMaySeeThem) {
  Start({.may_scrape = [](std::span<const std::string_view> authorizations) -> absl::Status {
    const std::size_t count = authorizations.size();
    if (count != 1) return absl::UnauthenticatedError(absl::StrCat("there are ", count));
    if (authorizations[0] == "Bearer other") return absl::PermissionDeniedError("it is for something else");
    return authorizations[0] == "Bearer right" ? absl::OkStatus() : absl::UnauthenticatedError("it is wrong");
  }});
  auto client = Client();
  const auto expect_refused = [&](const httplib::Headers& headers, int status, const std::string& body) {
    const auto refused = client.Get("/metrics", headers);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->status, status);
    EXPECT_EQ(refused->get_header_value("WWW-Authenticate"), status == 401 ? "Bearer" : "");
    EXPECT_EQ(refused->body, body);
  };
  expect_refused({}, 401, "there are 0\n");
  expect_refused({{"Authorization", "Bearer right"}, {"authorization", "Bearer right"}}, 401, "there are 2\n");
  expect_refused({{"Authorization", "Bearer wrong"}}, 401, "it is wrong\n");
  expect_refused({{"Authorization", ""}}, 401, "there are 0\n");
  expect_refused({{"Authorization", "Bearer other"}}, 403, "it is for something else\n");
  const auto shown = client.Get("/metrics", {{"Authorization", "Bearer right"}});
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, 200);
  EXPECT_NE(shown->body.find("secret_total 0"), std::string::npos) << shown->body;
}

TEST_F(ExposerTest, ServesNothingElse) {
  Start({});
  auto client = Client();
  EXPECT_EQ(client.Get("/metrics")->status, 200);
  EXPECT_EQ(client.Get("/")->status, 404);
  EXPECT_EQ(client.Get("/metrics/../etc/passwd")->status, 404);
  EXPECT_EQ(client.Post("/metrics", "x", "text/plain")->status, 404);
  EXPECT_EQ(client.Get("/metrics")->status, 200);
}

TEST_F(ExposerTest, AnswersOneRequestAConnectionWithoutRanges) {
  Start({});
  auto client = Client();
  client.set_keep_alive(true);
  const auto shown = client.Get("/metrics", {{"Range", "bytes=0-1,0-1,0-1"}});
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, 200);
  EXPECT_EQ(shown->get_header_value("Connection"), "close");
  EXPECT_NE(shown->body.find("secret_total 0"), std::string::npos) << shown->body;
}

TEST_F(ExposerTest, WhoKeepsItWaitingMakesRoomForOthers) {
  Start({.connection_time = absl::Hours(24)});
  std::vector<int> waiting;
  for (int i = 0; i < 100; ++i) {
    waiting.push_back(Connect());
    if (i % 2 == 0) {
      EXPECT_EQ(Pour(waiting.back(), "GET /metrics HTTP/1.1\r\nX", 1, absl::ZeroDuration()), 1);
    }
  }
  auto client = Client();
  client.set_read_timeout(300);
  const auto shown = client.Get("/metrics");
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->status, 200);
  exposer_ = nullptr;  // waits for none of them
  for (const int descriptor : waiting) close(descriptor);
}

TEST_F(ExposerTest, AConnectionEndsInTimeThoughBytesGoOnToCome) {
  Start({.connection_time = absl::Milliseconds(100)});
  const int descriptor = Connect();
  EXPECT_LT(Pour(descriptor, "G", 30'000, absl::Milliseconds(2)), 30'000);
  close(descriptor);
}

TEST_F(ExposerTest, HeadersAndBodiesHaveAnEnd) {
  Start({.connection_time = absl::Hours(24)});
  constexpr int kMaxTimes = 256;  // each 1 MiB; more than a socket holds
  for (const std::string start : {"GET /metrics HTTP/1.1\r\n",
                                  "POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    const int descriptor = Connect();
    ASSERT_EQ(Pour(descriptor, start, 1, absl::ZeroDuration()), 1);
    std::string lines;
    while (lines.size() < std::size_t{1} << 20) lines += start.front() == 'G' ? "X-A: 1\r\n" : "2\r\nab\r\n";
    EXPECT_LT(Pour(descriptor, lines, kMaxTimes, absl::ZeroDuration()), kMaxTimes) << start;
    close(descriptor);
  }
}

}  // namespace
}  // namespace prefscore
