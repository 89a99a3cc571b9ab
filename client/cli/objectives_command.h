// SPDX-License-Identifier: Apache-2.0
// prefscore objectives: what there is, with formulas, parameters and sources. Needs no server.
#pragma once

namespace prefscore::cli {

enum class ObjectivesFormat { kText, kMarkdown, kJson };

// Returns an ExitCode.
int RunObjectives(ObjectivesFormat format);

}  // namespace prefscore::cli
