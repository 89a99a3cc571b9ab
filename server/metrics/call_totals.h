// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "prometheus/registry.h"

namespace prefscore {

// What a server says of its life when it stops, for who counted on the other side and can scrape no more, such as
// "ScorePairs OK 12, ScorePairs UNAVAILABLE 1, StreamScorePairs OK 1; pairs scored 400, failed 1". Only what is not 0.
std::string CallTotals(prometheus::Registry& registry);

}  // namespace prefscore
