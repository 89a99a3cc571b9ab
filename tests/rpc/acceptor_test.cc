// SPDX-License-Identifier: Apache-2.0
// Where it listens. What it does without file descriptors is tested on a real server, in tests/e2e/security.
#include "server/rpc/acceptor.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/testing/log_file.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Sink : public grpc::experimental::ExternalConnectionAcceptor {
 public:
  explicit Sink(absl::Notification& taken) : taken_(taken) {}
  void HandleNewConnection(NewConnectionParameters* parameters) override {
    EXPECT_GE(parameters->listener_fd, 0);
    close(parameters->fd);
    taken_.Notify();
  }

 private:
  absl::Notification& taken_;
};

// Whether somebody listens there.
bool Connects(int port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_connected = connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(descriptor);
  return is_connected;
}

class AcceptorTest : public ::testing::Test {
 protected:
  testing::LogFile log_;
  Logger logger_{log_.options()};
};

TEST_F(AcceptorTest, HandsConnectionsOverUntilItIsStopped) {
  for (const char* address : {"127.0.0.1:0", "localhost:0", "0.0.0.0:0"}) {
    const auto acceptor = Acceptor::Listen(address, logger_);
    ASSERT_TRUE(acceptor.ok()) << acceptor.status();
    const int port = (*acceptor)->port();
    EXPECT_GT(port, 0);
    absl::Notification taken;
    EXPECT_TRUE(Connects(port)) << "it waits until Start";
    (*acceptor)->Start(std::make_unique<Sink>(taken));
    EXPECT_TRUE(taken.WaitForNotificationWithTimeout(absl::Seconds(60)));
    (*acceptor)->Stop();
    EXPECT_FALSE(Connects(port));
    (*acceptor)->Stop();
  }
}

TEST_F(AcceptorTest, AddressesThatCannotBeBoundAreToldWithTheReason) {
  const auto first = Acceptor::Listen("127.0.0.1:0", logger_);
  ASSERT_TRUE(first.ok());
  const std::string taken = absl::StrCat("127.0.0.1:", (*first)->port());
  EXPECT_EQ(Acceptor::Listen(taken, logger_).status(),
            absl::UnavailableError(absl::StrCat("cannot listen on ", taken, ": Address already in use")));
  EXPECT_EQ(Acceptor::Listen("192.0.2.1:0", logger_).status(),
            absl::UnavailableError("cannot listen on 192.0.2.1:0: Cannot assign requested address"));
  EXPECT_THAT(std::string(Acceptor::Listen("no-such-host.invalid:0", logger_).status().message()),
              StartsWith("cannot listen on no-such-host.invalid:0: "));
}

TEST_F(AcceptorTest, ConnectionsThatFindNoDescriptorAreToldOnce) {
  const auto acceptor = Acceptor::Listen("127.0.0.1:0", logger_);
  ASSERT_TRUE(acceptor.ok()) << acceptor.status();
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit few = {.rlim_cur = Acceptor::kSpareDescriptors, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  absl::Notification taken;
  (*acceptor)->Start(std::make_unique<Sink>(taken));
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(Connects((*acceptor)->port()));
  for (const absl::Time end = absl::Now() + absl::Seconds(60); log_.Lines().empty() && absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(2));
  }
  (*acceptor)->Stop();
  setrlimit(RLIMIT_NOFILE, &limit);
  ASSERT_FALSE(log_.Lines().empty());
  EXPECT_THAT(log_.Lines().front(), HasSubstr(" warning new connections are closed until others go: all but 64"));
  EXPECT_LT(log_.Lines().size(), 10u) << "not one for each connection";
  EXPECT_FALSE(taken.HasBeenNotified());
}

}  // namespace
}  // namespace prefscore
