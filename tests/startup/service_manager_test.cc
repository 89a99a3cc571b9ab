// SPDX-License-Identifier: Apache-2.0
#include "server/startup/service_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

// A service manager's end of the socket.
class Manager {
 public:
  explicit Manager(const std::string& name) : socket_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    name.copy(address.sun_path, name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    is_bound_ = bind(socket_, reinterpret_cast<const sockaddr*>(&address),
                     static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())) == 0;
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Manager() {
    close(socket_);
    unsetenv("NOTIFY_SOCKET");
  }

  bool is_bound() const { return is_bound_; }

  // Empty where nothing was sent.
  std::string Receive() {
    char text[256];
    const ssize_t size = recv(socket_, text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
  }

 private:
  const int socket_;
  bool is_bound_ = false;
};

TEST(ServiceManagerTest, IsToldByAPathOrAnAbstractName) {
  const testing::TempFolder temp;
  for (const std::string& name : {(temp.path() / "notify").string(), absl::StrCat("@prefscore-test-", getpid())}) {
    Manager manager(name);
    ASSERT_TRUE(manager.is_bound()) << name;
    EXPECT_TRUE(TellServiceManager("READY=1\nSTATUS=a").ok());
    EXPECT_EQ(manager.Receive(), "READY=1\nSTATUS=a");
    EXPECT_EQ(manager.Receive(), "");
  }
}

TEST(ServiceManagerTest, NobodyIsToldWhereNobodyAsks) {
  unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(TellServiceManager("READY=1").ok());
  setenv("NOTIFY_SOCKET", "", 1);
  EXPECT_TRUE(TellServiceManager("READY=1").ok());
  unsetenv("NOTIFY_SOCKET");
}

TEST(ServiceManagerTest, ASocketThatIsNotThereIsNamed) {
  for (const std::string& name : {std::string("/nowhere/notify"), std::string("@prefscore-nobody"),
                                  std::string("relative"), "/" + std::string(200, 'x')}) {
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
    EXPECT_THAT(std::string(TellServiceManager("READY=1").message()), HasSubstr(name));
  }
  unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace prefscore
