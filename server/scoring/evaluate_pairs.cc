// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/evaluate_pairs.h"

namespace prefscore {

std::vector<BatchState> EvaluateObjectives(const std::vector<Objective>& objectives, std::vector<PairOutcome>& pairs) {
  std::vector<PairOutcome*> scored;
  std::vector<PairInputs> inputs;
  for (PairOutcome& pair : pairs) {
    for (const Objective& objective : objectives) {
      if (pair.status.ok()) pair.status = objective.CheckPair(pair.inputs);
    }
    if (!pair.status.ok()) continue;
    scored.push_back(&pair);
    inputs.push_back(pair.inputs);
  }
  std::vector<BatchState> states(objectives.size());
  for (std::size_t idx = 0; idx < objectives.size(); ++idx) {
    const std::vector<ObjectiveValue> values = Evaluate(objectives[idx], inputs, &states[idx]);
    for (std::size_t pair = 0; pair < scored.size(); ++pair) scored[pair]->objectives.push_back(values[pair]);
  }
  return states;
}

}  // namespace prefscore
