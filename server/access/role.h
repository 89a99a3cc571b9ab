// SPDX-License-Identifier: Apache-2.0
// What a token allows.
#pragma once

#include <array>
#include <cstddef>

namespace prefscore {

enum class Role {
  kScore,    // scoring, diagnostics, and what the server tells of its models
  kAdmin,    // the admin service
  kMetrics,  // reading the metrics over HTTP
};
inline constexpr std::array kAccessRoleNames = {"score", "admin", "metrics"};  // [Role]

inline constexpr const char* RoleName(Role role) { return kAccessRoleNames[static_cast<std::size_t>(role)]; }

}  // namespace prefscore
