// SPDX-License-Identifier: Apache-2.0
// What a terminal shows of an analysis.
#pragma once

#include <string>

#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::cli {

// At most 100 columns; at most 24 lines, and one for each objective after the first, whose learning table is shown.
// Slices take the lines that are left. Ends with a newline. Control characters of ids and labels are blanked.
std::string AnalysisSummary(const v1::AnalysisReport& report);

}  // namespace prefscore::cli
