// SPDX-License-Identifier: Apache-2.0
// How long connections last. The bounds on what one connection may bring are tested in tests/e2e/security.
#include "server/rpc/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <fstream>
#include <regex>

#include "tests/rpc/rpc_test_base.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/test_authority.h"

namespace prefscore {
namespace {

constexpr absl::Duration kSoon = absl::Milliseconds(300);

// Connects, says `greeting` and no more. Returns whether the other side ends the connection; waits a minute for it.
bool IsClosed(int port, const std::string& greeting = "") {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  const timeval patience = {.tv_sec = 60, .tv_usec = 0};
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(write(descriptor, greeting.data(), greeting.size()), static_cast<ssize_t>(greeting.size()));
  char buffer[4096];
  ssize_t size = 0;
  while ((size = read(descriptor, buffer, sizeof(buffer))) > 0) {
  }
  const bool is_closed = size == 0 || errno == ECONNRESET;
  close(descriptor);
  return is_closed;
}

TEST(ConnectionTimesTest, AreThoseThatOperatorsAreTold) {
  const ConnectionTimes times;
  EXPECT_EQ(times.handshake, absl::Seconds(20));
  EXPECT_EQ(times.idle, absl::Minutes(10));
  EXPECT_EQ(times.age, absl::Minutes(30));
}

// A service that answers nothing.
using Service = v1::ModelService::CallbackService;

TEST(ListenerTest, WhoDoesNotGreetInTimeIsClosed) {
  testing::LogFile log;
  Logger logger(log.options());
  Service service;
  auto listener = Listen({.address = "127.0.0.1:0", .connection = {.handshake = kSoon}}, Limits(),
                         logger, {&service});
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(IsClosed(listener->port()));
  EXPECT_TRUE(IsClosed(listener->port(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) << "the settings are a part of the greeting";
  listener->Stop(absl::ZeroDuration());
}

TEST(ListenerTest, WhoDoesNotShakeHandsInTimeIsClosed) {
  const testing::TempFolder folder;
  const testing::TestAuthority authority;
  const auto issued = authority.Issue(absl::Now() - absl::Hours(1), absl::Now() + absl::Hours(1));
  const TlsFiles files = {.certificate = folder.path() / "tls.crt", .key = folder.path() / "tls.key"};
  std::ofstream(files.certificate) << issued.certificate;
  std::ofstream(files.key) << issued.key;
  const auto opened = CertificateFiles::Open(files, {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  testing::LogFile log;
  Logger logger(log.options());
  Service service;
  auto listener = Listen({.address = "127.0.0.1:0", .files = *opened, .connection = {.handshake = kSoon}}, Limits(),
                         logger, {&service});
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(IsClosed(listener->port()));
  EXPECT_TRUE(IsClosed(listener->port(), std::string("\x16\x03\x01\x02\x00\x01", 6))) << "a handshake that is cut off";
  listener->Stop(absl::ZeroDuration());
}

class ConnectionEndTest : public RpcTestBase {
 protected:
  // Makes a call; returns the client's address and port as the server sees them, which tell connections apart.
  std::string CallAndGetPeer() {
    const auto num_calls = [this] { return Peers().size(); };
    const std::size_t before = num_calls();
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    context.set_wait_for_ready(true);
    v1::ListModelsResponse response;
    const grpc::Status status = models_->ListModels(&context, v1::ListModelsRequest(), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    WaitUntil("the call is logged", [&] { return num_calls() > before; });
    return Peers().back();
  }

 private:
  std::vector<std::string> Peers() const {
    static const std::regex peer("ListModels.* peer=(\\S+)");
    std::vector<std::string> peers;
    for (const std::string& line : log_.Lines()) {
      if (std::smatch match; std::regex_search(line, match, peer)) peers.push_back(match[1]);
    }
    return peers;
  }
};

TEST_F(ConnectionEndTest, AConnectionWithoutCallsIsClosed) {
  connection_.idle = kSoon;
  Start();
  const std::string before = CallAndGetPeer();
  EXPECT_TRUE(channel_->WaitForStateChange(GRPC_CHANNEL_READY, absl::ToChronoTime(absl::Now() + absl::Seconds(60))));
  EXPECT_NE(CallAndGetPeer(), before) << "the client connects anew";
}

TEST_F(ConnectionEndTest, AnOldConnectionTakesNoNewCallsWhileAStreamGoesOn) {
  connection_.age = kSoon;
  Start();
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(120)));
  context.set_wait_for_ready(true);
  const auto stream = scoring_->StreamScorePairs(&context);
  const auto score = [&] {
    v1::StreamScorePairsRequest request;
    *request.mutable_pair() = IdPair({5}, {1}, {2});
    v1::StreamScorePairsResponse response;
    return stream->Write(request) && stream->Read(&response) && !response.result().has_status();
  };
  v1::StreamScorePairsRequest options;
  options.mutable_options();
  ASSERT_TRUE(stream->Write(options));
  ASSERT_TRUE(score());
  const std::string before = CallAndGetPeer();
  WaitUntil("a call comes by a new connection", [&] { return CallAndGetPeer() != before; });
  EXPECT_TRUE(score());
  stream->WritesDone();
  v1::StreamScorePairsResponse none;
  EXPECT_FALSE(stream->Read(&none));
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace prefscore
