// SPDX-License-Identifier: Apache-2.0
#include "server/objectives/registry.h"

#include <array>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

// One line per objective: the struct of its file in catalogue/.
#define PREFSCORE_FOR_ALL_OBJECTIVES(X) \
  X(SigmoidObjective)                   \
  X(CdpoObjective)                      \
  X(RobustObjective)                    \
  X(HingeObjective)                     \
  X(MarginHingeObjective)               \
  X(IpoObjective)                       \
  X(IpoSumObjective)                    \
  X(ExoPairObjective)                   \
  X(NcaPairObjective)                   \
  X(BcoPairObjective)                   \
  X(SppoHardObjective)                  \
  X(ApoZeroObjective)                   \
  X(ApoDownObjective)                   \
  X(DiscopopObjective)                  \
  X(SigmoidNormObjective)               \
  X(SimpoObjective)                     \
  X(CpoObjective)                       \
  X(OrpoObjective)                      \
  X(SlicHfObjective)                    \
  X(RdpoObjective)                      \
  X(RdpoSubtractObjective)              \
  X(DpopObjective)                      \
  X(DpopOutsideObjective)               \
  X(OdpoObjective)                      \
  X(HypoObjective)                      \
  X(LdDpoObjective)                     \
  X(SftObjective)                       \
  X(SftSumObjective)                    \
  X(MpoObjective)                       \
  X(RpoObjective)                       \
  X(AotObjective)                       \
  X(AotUnpairedObjective)               \
  X(BetaDpoObjective)                   \
  X(KtoPairObjective)

namespace prefscore {

#define PREFSCORE_DECLARE(Formula)                     \
  extern const ObjectiveDefinition k##Formula##Definition; \
  extern const ObjectiveKernels k##Formula##KernelsAvx2;   \
  extern const ObjectiveKernels k##Formula##KernelsAvx512;
PREFSCORE_FOR_ALL_OBJECTIVES(PREFSCORE_DECLARE)

namespace {

#define PREFSCORE_DEFINITION(Formula) &k##Formula##Definition,
constexpr const ObjectiveDefinition* kDefinitions[] = {PREFSCORE_FOR_ALL_OBJECTIVES(PREFSCORE_DEFINITION)};

#define PREFSCORE_KERNELS(Formula) {&k##Formula##KernelsAvx2, &k##Formula##KernelsAvx512},
constexpr const ObjectiveKernels* kKernels[][2] = {PREFSCORE_FOR_ALL_OBJECTIVES(PREFSCORE_KERNELS)};

}  // namespace

std::span<const ObjectiveDefinition* const> AllObjectives() { return kDefinitions; }

absl::StatusOr<const ObjectiveDefinition*> FindObjective(const std::string& name) {
  std::string known;
  for (const ObjectiveDefinition* definition : kDefinitions) {
    if (name == definition->name) return definition;
    absl::StrAppend(&known, known.empty() ? "" : ", ", definition->name);
  }
  return absl::InvalidArgumentError(absl::StrCat("objective name is '", name, "'; known names: ", known));
}

InstructionSet BestInstructionSet() {
  static const InstructionSet best =
      __builtin_cpu_supports("x86-64-v4") ? InstructionSet::kAvx512 : InstructionSet::kAvx2;
  return best;
}

const ObjectiveKernels& KernelsOf(const ObjectiveDefinition& definition, InstructionSet instruction_set) {
  std::size_t index = 0;
  while (kDefinitions[index] != &definition) ++index;
  return *kKernels[index][instruction_set == InstructionSet::kAvx512 ? 1 : 0];
}

}  // namespace prefscore
