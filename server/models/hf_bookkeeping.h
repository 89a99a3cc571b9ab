// SPDX-License-Identifier: Apache-2.0
// Fields of a config.json that cannot change a log-prob.
#pragma once

#include <string_view>

namespace prefscore {

bool IsBookkeeping(std::string_view field);

}  // namespace prefscore
