// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace prefscore {

// Reports hold sums of squares, which must be finite: a log-prob below -kLargestMagnitude is faulty, and a pair for
// which an objective has a value beyond it, or NaN, is none of the objective's pairs.
inline constexpr double kLargestMagnitude = 1e150;

}  // namespace prefscore
