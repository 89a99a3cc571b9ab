// SPDX-License-Identifier: Apache-2.0
// From a Hugging Face config.json to a DecoderConfig, with the defaults and the readings of transformers.
//
// The rule for what a config.json may say: every field is either
//   understood   read and obeyed, or refused by name and value (UNIMPLEMENTED) where its value is not supported;
//   bookkeeping  on a fixed list of fields that cannot change a log-prob: token ids, dropout, training, generation,
//                how the file was made, and every name that starts with '_';
//   unknown      accepted only where it says nothing (null, false, or an empty text, list or object), else refused.
// The same holds inside the rope objects.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "server/models/decoder_config.h"

namespace prefscore {

// `where` begins every message, usually the path of the file. INVALID_ARGUMENT for a field that is missing, has the
// wrong type or contradicts another; UNIMPLEMENTED for what is well-formed but not supported.
absl::StatusOr<DecoderConfig> ParseHfConfig(const nlohmann::json& json, const std::string& where);

}  // namespace prefscore
