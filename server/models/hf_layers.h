// SPDX-License-Identifier: Apache-2.0
// Which layers of a config.json attend through a sliding window, and which do not rotate (NoPE).
#pragma once

#include "server/models/config_fields.h"
#include "server/models/decoder_config.h"

namespace prefscore {

// Fills sliding_window of decoder.layers, and rope = -1 where a layer does not rotate. REQUIRES: decoder.architecture
// and the number of decoder.layers are set. Faults are left in config.status().
void ReadLayerKinds(ConfigFields& config, DecoderConfig& decoder);

}  // namespace prefscore
