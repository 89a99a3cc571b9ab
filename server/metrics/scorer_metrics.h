// SPDX-License-Identifier: Apache-2.0
// What connects the scorer and the registry of models to the metrics.
#pragma once

#include <memory>
#include <vector>

#include "server/metrics/metrics.h"
#include "server/scoring/hosted_model.h"
#include "server/scoring/scorer.h"

namespace prefscore {

std::vector<ModelLabels> LabelsOf(const ModelRegistry& registry);

// An observer that counts into `metrics`, which must outlive the scorer that gets it.
ScorerObserver CountInto(Metrics& metrics);

}  // namespace prefscore
