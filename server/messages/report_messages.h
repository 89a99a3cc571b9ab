// SPDX-License-Identifier: Apache-2.0
// A report of the analyzer on the wire, field by field.
#pragma once

#include "prefscore/v1/diagnostics.pb.h"
#include "server/diagnostics/report.h"

namespace prefscore {

// All but the options and the digests.
v1::AnalysisReport ReportToProto(const AnalysisReport& report);

}  // namespace prefscore
