// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/bounded_stream.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "server/util/steady_clock.h"

namespace prefscore {

BoundedStream::BoundedStream(int socket, SSL_CTX* tls, Limits limits, WaitingConnections& connections)
    : socket_(socket), limits_(limits), tls_(tls == nullptr ? nullptr : SSL_new(tls), SSL_free),
      wait_(connections, socket) {
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
  if (tls_ != nullptr) SSL_set_fd(tls_.get(), socket);
}

bool BoundedStream::WaitFor(short events) {
  pollfd polled = {socket_, events, 0};
  int num_ready = -1;
  wait_.Begin();
  do {
    const absl::Duration left = limits_.end - SteadyNow();
    if (left <= absl::ZeroDuration()) break;
    num_ready = poll(&polled, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
  } while (num_ready < 0 && errno == EINTR);
  wait_.End();
  return num_ready > 0;
}

template <typename Attempt>
ssize_t BoundedStream::Repeat(short events, Attempt attempt) {
  while (SteadyNow() < limits_.end) {
    ERR_clear_error();
    const auto result = attempt();
    if (result > 0) return result;
    if (tls_ != nullptr) {
      const int error = SSL_get_error(tls_.get(), static_cast<int>(result));
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return -1;
      events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    } else if (result == 0 || (errno != EAGAIN && errno != EINTR)) {
      return -1;
    }
    if (!WaitFor(events)) return -1;
  }
  return -1;
}

bool BoundedStream::Greet() {
  return tls_ == nullptr || Repeat(POLLIN, [this] { return SSL_accept(tls_.get()); }) == 1;
}

void BoundedStream::SayGoodbye() {
  if (tls_ != nullptr) SSL_shutdown(tls_.get());
}

ssize_t BoundedStream::read(char* bytes, std::size_t size) {
  if (begin_ == end_) {
    const std::size_t room = std::min(sizeof(buffer_), limits_.max_read_bytes - num_read_);
    if (room == 0) return -1;
    const ssize_t num_read = Repeat(POLLIN, [this, room] {
      return tls_ == nullptr ? recv(socket_, buffer_, room, 0) : SSL_read(tls_.get(), buffer_, static_cast<int>(room));
    });
    if (num_read <= 0) return -1;
    begin_ = 0;
    end_ = static_cast<std::size_t>(num_read);
    num_read_ += end_;
  }
  const std::size_t taken = std::min(size, end_ - begin_);
  std::memcpy(bytes, buffer_ + begin_, taken);
  begin_ += taken;
  return static_cast<ssize_t>(taken);
}

ssize_t BoundedStream::write(const char* bytes, std::size_t size) {
  return Repeat(POLLOUT, [this, bytes, size] {
    return tls_ == nullptr ? send(socket_, bytes, size, MSG_NOSIGNAL)
                           : SSL_write(tls_.get(), bytes, static_cast<int>(size));
  });
}

}  // namespace prefscore
