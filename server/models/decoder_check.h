// SPDX-License-Identifier: Apache-2.0
// What the decoder relies on, checked where it comes in.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "server/models/causal_lm.h"
#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"

namespace prefscore {

// INVALID_ARGUMENT where the config contradicts itself or a weight is missing or of another shape than it asks for.
absl::Status CheckWeights(const DecoderConfig& config, const DecoderWeightViews& weights);

// INVALID_ARGUMENT where CausalLm::Forward's requirements do not hold.
absl::Status CheckGroups(const DecoderConfig& config, std::span<const PromptGroup* const> groups);

}  // namespace prefscore
