// SPDX-License-Identifier: Apache-2.0
// A connection that ends in time whatever its peer does.
#pragma once

#include <httplib.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "server/metrics/waiting_connections.h"

namespace prefscore {

// One request and its answer, in plain text or TLS. Reads end after so many bytes, all of it after so long: the times
// of httplib are for each byte, and it counts no headers.
class BoundedStream : public httplib::Stream {
 public:
  struct Limits {
    absl::Time end;  // of SteadyNow
    std::size_t max_read_bytes;
  };

  // `socket` stays the caller's. `tls`: null for plain text.
  BoundedStream(int socket, SSL_CTX* tls, Limits limits, WaitingConnections& connections);

  // TLS' handshake. Whether the peer can be talked to.
  bool Greet();
  // Tells the peer that all was sent.
  void SayGoodbye();

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* bytes, std::size_t size) override;
  ssize_t write(const char* bytes, std::size_t size) override;
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  // Whether the socket became ready for `events` of poll in time.
  bool WaitFor(short events);
  // Does `attempt`, which returns what SSL_read does, until it is done or the connection is over.
  template <typename Attempt>
  ssize_t Repeat(short events, Attempt attempt);

  const int socket_;
  const Limits limits_;
  const std::unique_ptr<SSL, decltype(&SSL_free)> tls_;
  WaitingConnections::Wait wait_;
  char buffer_[4096];  // httplib reads byte by byte
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t num_read_ = 0;
};

}  // namespace prefscore
