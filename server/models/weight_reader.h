// SPDX-License-Identifier: Apache-2.0
// Reads rows of a WeightView as fp32 values.
#pragma once

#include <cstdint>
#include <vector>

#include "server/models/decoder_weights.h"
#include "server/models/numerics.h"

namespace prefscore {

float RoundTo(Precision precision, float value);

// Writes row `out_index` [num_in], rounded to the precision's type (to nearest even).
void ReadWeightRow(const WeightView& view, std::int64_t out_index, Precision precision, float* values);

// The only row of a vector; empty where the view is null.
std::vector<float> ReadWeightVector(const WeightView& view, Precision precision);

}  // namespace prefscore
