// SPDX-License-Identifier: Apache-2.0
// HOST:PORT, as listeners are named by.
#pragma once

#include <optional>
#include <string>

namespace prefscore {

struct HostPort {
  std::string host;  // without the brackets of an IPv6 address
  int port;          // in [0, 65535]
};

// Nothing where `address` is not HOST:PORT. Names are not looked up.
std::optional<HostPort> ParseHostPort(const std::string& address);

// "" where `address` has no colon. Brackets of an IPv6 address stay.
std::string HostOf(const std::string& address);

// Whether only this machine can reach the address: localhost, 127.0.0.0/8, [::1]. Names are not looked up.
bool IsLoopback(const std::string& address);

}  // namespace prefscore
