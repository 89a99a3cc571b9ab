// SPDX-License-Identifier: Apache-2.0
// Checks, on the machine at hand, what "same ids, same bits" rests on: that a matrix product's row has the same bits
// whatever other rows are multiplied with it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "server/models/packed_linear.h"

namespace prefscore {

// Writes rows [first_row, first_row + num_rows) of a product. [num_rows][num_columns]
using MultiplyRows = std::function<void(std::int64_t first_row, std::int64_t num_rows, float* out)>;

// Whether rows have the same bits alone and in tiles of every height up to max_rows, at several places of the tile. The
// product has at least 2 * max_rows rows.
bool RowsAreIndependent(std::int64_t max_rows, std::int64_t num_columns, const MultiplyRows& multiply);

// One of those that are multiplied alike, each time: by equal sizes, and either with a bias or without, which are
// different kernels.
std::vector<const PackedLinear*> OneOfEachKind(std::span<const PackedLinear* const> linears);

// The same for a linear's first and last panel, on made-up inputs: milliseconds.
bool RowsAreIndependent(const PackedLinear& linear, Precision precision);

}  // namespace prefscore
