// SPDX-License-Identifier: Apache-2.0
// All objectives by name.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "server/objectives/definition.h"

namespace prefscore {

// In the order of the documentation.
std::span<const ObjectiveDefinition* const> AllObjectives();

// INVALID_ARGUMENT listing the known names.
absl::StatusOr<const ObjectiveDefinition*> FindObjective(const std::string& name);

enum class InstructionSet { kAvx2, kAvx512 };

// What the CPU at hand has. REQUIRES: AVX2 and FMA, as all of the project.
InstructionSet BestInstructionSet();

// The loops for an instruction set. All give the same bits.
const ObjectiveKernels& KernelsOf(const ObjectiveDefinition& definition,
                                  InstructionSet instruction_set = BestInstructionSet());

}  // namespace prefscore
