// SPDX-License-Identifier: Apache-2.0
#include "server/util/host_port.h"

#include <arpa/inet.h>

#include <utility>

#include "absl/strings/numbers.h"

namespace prefscore {

std::string HostOf(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  return colon == std::string::npos ? "" : address.substr(0, colon);
}

std::optional<HostPort> ParseHostPort(const std::string& address) {
  std::string host = HostOf(address);
  if (host.empty()) return std::nullopt;
  int port = 0;
  if (!absl::SimpleAtoi(address.substr(host.size() + 1), &port) || port < 0 || port > 65535) return std::nullopt;
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return HostPort{std::move(host), port};
}

bool IsLoopback(const std::string& address) {
  const std::string host = HostOf(address);
  if (host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace prefscore
