// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/acceptor.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/util/host_port.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

// How long accept rests after it has failed for want of memory or descriptors.
constexpr int kRestMs = 50;

void SetOption(int descriptor, int level, int name, int value) {
  setsockopt(descriptor, level, name, &value, sizeof(value));
}

int PortOf(int descriptor) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

void SetPort(sockaddr* address, int port) {
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  }
}

bool IsSpare(int descriptor) {
  rlimit limit = {};
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
         static_cast<rlim_t>(descriptor + Acceptor::kSpareDescriptors) >= limit.rlim_cur;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const std::string& address, Logger& logger) {
  const int stop_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_descriptor < 0) return absl::UnavailableError(absl::StrCat("eventfd: ", std::strerror(errno)));
  std::unique_ptr<Acceptor> acceptor(new Acceptor(stop_descriptor, logger));
  const auto host_port = ParseHostPort(address);
  if (!host_port.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not HOST:PORT"));
  }
  if (const absl::Status status = acceptor->Bind(host_port->host, host_port->port); !status.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", std::string(status.message())));
  }
  return acceptor;
}

absl::Status Acceptor::Bind(const std::string& host, int port) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
    return absl::UnavailableError(gai_strerror(error));
  }
  const absl::Cleanup free_found = [found] { freeaddrinfo(found); };
  port_ = port;
  int last_error = EADDRNOTAVAIL;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    const int listener = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener >= 0) {
      SetOption(listener, SOL_SOCKET, SO_REUSEADDR, 1);
      if (info->ai_family == AF_INET6) SetOption(listener, IPPROTO_IPV6, IPV6_V6ONLY, 0);
      SetPort(info->ai_addr, port_);
      if (bind(listener, info->ai_addr, info->ai_addrlen) == 0 && listen(listener, SOMAXCONN) == 0) {
        listeners_.push_back(listener);
        port_ = PortOf(listener);
        continue;
      }
    }
    last_error = errno;
    if (listener >= 0) close(listener);
    if (last_error == EADDRINUSE) break;
  }
  // A name may have addresses that this machine does not serve, such as those of IPv6.
  if (listeners_.empty() || last_error == EADDRINUSE) return absl::UnavailableError(std::strerror(last_error));
  return absl::OkStatus();
}

Acceptor::~Acceptor() {
  Stop();
  close(stop_descriptor_);
}

void Acceptor::Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> sink) {
  sink_ = std::move(sink);
  thread_ = std::thread([this] { Run(); });
}

void Acceptor::Stop() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t num_written = write(stop_descriptor_, &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
  for (const int listener : listeners_) close(listener);
  listeners_.clear();
}

void Acceptor::Run() {
  std::vector<pollfd> polled = {{stop_descriptor_, POLLIN, 0}};
  for (const int listener : listeners_) polled.push_back({listener, POLLIN, 0});
  for (;;) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;  // a signal
    if (polled[0].revents != 0) return;
    for (std::size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents != 0) AcceptFrom(polled[i].fd);
    }
  }
}

void Acceptor::AcceptFrom(int listener) {
  const int connection = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (connection < 0) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    Warn(absl::StrCat("connections cannot be accepted: ", std::strerror(errno)));
    pollfd stop = {stop_descriptor_, POLLIN, 0};
    poll(&stop, 1, kRestMs);
    return;
  }
  if (IsSpare(connection)) {
    close(connection);
    Warn(absl::StrCat("new connections are closed until others go: all but ", kSpareDescriptors,
                      " of the process's file descriptors are in use; LimitNOFILE of systemd, or ulimit -n, gives more"));
    return;
  }
  SetOption(connection, IPPROTO_TCP, TCP_NODELAY, 1);
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = listener;
  parameters.fd = connection;
  sink_->HandleNewConnection(&parameters);
}

void Acceptor::Warn(const std::string& what) {
  const auto held_back = warnings_.Admit();
  if (!held_back.has_value()) return;
  LogFields fields;
  if (*held_back > 0) fields.emplace_back("held_back", *held_back);
  logger_.Log(LogLevel::kWarning, what, fields);
}

}  // namespace prefscore
