// SPDX-License-Identifier: Apache-2.0
// The one configurable decoder: a CausalLm for every supported architecture, on the CPU.
//
// Memory: matrices are copied once into the layout of the GEMM kernels, in the dtype of the forward pass; norms and
// biases as fp32; embeddings as they are stored, but for a token embedding that is the head, too. No view is read again
// later, so that nothing that is done to the files changes a model or harms the process. Scratch of a
// forward pass grows with the batch's tokens, never with rows x vocabulary; up to 128 MiB of it is kept for the next
// one (matrix.h).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/models/causal_lm.h"
#include "server/models/decoder_config.h"
#include "server/models/decoder_weights.h"

namespace prefscore {

// dtype: "float32" | "bfloat16". num_threads: threads of one forward pass, 0 for one per core. info: dtype and
// numerics_mode are set here. The views must be valid during the call.
// INVALID_ARGUMENT: config and weights do not fit together, or an unknown dtype. FAILED_PRECONDITION: this CPU cannot
// compute in that dtype. RESOURCE_EXHAUSTED: out of memory.
absl::StatusOr<std::shared_ptr<const CausalLm>> MakeDecoder(const DecoderConfig& config,
                                                            const DecoderWeightViews& weights, std::string dtype,
                                                            int num_threads, ModelInfo info);

}  // namespace prefscore
