// SPDX-License-Identifier: Apache-2.0
// Reads rows of a WeightView as fp32 values.
#pragma once

#include <cstdint>
#include <vector>

#include "server/models/decoder_weights.h"
#include "server/models/numerics.h"

namespace prefscore {

float RoundTo(Precision precision, float value);

// Writes inputs [first_in, first_in + count) of row `out_index`, rounded to the precision's type (to nearest even).
void ReadWeights(const WeightView& view, std::int64_t out_index, std::int64_t first_in, std::int64_t count,
                 Precision precision, float* values);

// The whole row [num_in].
void ReadWeightRow(const WeightView& view, std::int64_t out_index, Precision precision, float* values);

// The only row of a vector; empty where the view is null.
std::vector<float> ReadWeightVector(const WeightView& view, Precision precision);

}  // namespace prefscore
