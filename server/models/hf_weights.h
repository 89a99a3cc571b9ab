// SPDX-License-Identifier: Apache-2.0
// Which tensor of a checkpoint fills which role of the decoder, by the names that transformers gives them.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/models/checkpoint.h"
#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"

namespace prefscore {

struct BoundWeights {
  DecoderWeightViews views;
  // The head is the token embedding: the config says so and the checkpoint has no head of its own, or an equal one. As
  // in transformers, a head of its own with other values is used even where the config says that it is tied.
  bool tied_head = false;
  std::vector<const SafetensorsEntry*> used;  // the tensors behind the views, each once, by name
};

// INVALID_ARGUMENT names the tensors that are missing, left over or of another shape than the config asks for;
// UNIMPLEMENTED names one that is not F32, BF16 or F16. Buffers that some exporters store (rotary_emb.inv_freq, GPT-2's
// causal masks) are no weights and may be there. The views live as long as the checkpoint.
absl::StatusOr<BoundWeights> BindHfWeights(const DecoderConfig& config, const Checkpoint& checkpoint);

}  // namespace prefscore
