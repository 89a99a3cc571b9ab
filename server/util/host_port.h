// SPDX-License-Identifier: Apache-2.0
// HOST:PORT, as listeners are named by.
#pragma once

#include <string>

namespace prefscore {

// "" where `address` has no colon. Brackets of an IPv6 address stay.
std::string HostOf(const std::string& address);

// Whether only this machine can reach the address: localhost, 127.0.0.0/8, [::1]. Names are not looked up.
bool IsLoopback(const std::string& address);

}  // namespace prefscore
