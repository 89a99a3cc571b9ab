// SPDX-License-Identifier: Apache-2.0
// --sweep: the grid of an analysis.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::cli {

// "beta=LIST,gamma_over_beta=LIST" (or ratio=LIST), either of which may be left out and then has its default; "none"
// for no sweep. A LIST is numbers and ranges joined by "/", a range FROM:TO:COUNT or FROM:TO:COUNT:log.
// INVALID_ARGUMENT for what is not of this form.
//
//   beta=0.01:1:5:log,gamma_over_beta=0/0.1:100:10:log
absl::StatusOr<v1::SweepGrid> ParseSweepFlag(const std::string& text);

}  // namespace prefscore::cli
