// SPDX-License-Identifier: Apache-2.0
// What `prefscore top` shows of an interval.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/top/interval.h"

namespace prefscore::cli {

// A number in at most six characters: "0", "0.12", "12.3", "1234", "12.3k", "4.5M"; "-" for NaN.
std::string ShortNumber(double value);

// Lines of text, most important first. `now` tells how long the server is up.
std::vector<std::string> TopView(const Interval& interval, const std::string& url, absl::Time now);

}  // namespace prefscore::cli
