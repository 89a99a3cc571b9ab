// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding, with the numbers of transformers' modeling_rope_utils: its frequencies are fp32, so one
// rounding that differs would grow with the position.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/models/decoder_config.h"
#include "server/models/matrix.h"

namespace prefscore {

struct RopeFrequencies {
  std::vector<float> inverse;      // radians per position [rotary_dim / 2]
  float attention_factor = 1.0f;   // multiplies cosine and sine
};

// Dynamic and longrope choose their frequencies by the length of the whole sequence: prompt + one completion.
RopeFrequencies ComputeRopeFrequencies(const RopeConfig& config, std::int64_t sequence_length);

// Equal keys: equal frequencies. Sequences of different keys cannot share a prompt's keys.
std::int64_t RopeLengthKey(const RopeConfig& config, std::int64_t sequence_length);

// Cosines and sines of positions 0 .. num_positions - 1.
class RopeTable {
 public:
  RopeTable(const RopeConfig& config, std::int64_t sequence_length, std::int64_t num_positions);

  // Rotates the first rotary_dim values of a head.
  void Rotate(std::int64_t position, float* head) const;

  const Matrix<float>& cosines() const { return cosines_; }  // [num_positions][rotary_dim / 2]
  const Matrix<float>& sines() const { return sines_; }

 private:
  std::int64_t half_;
  Matrix<float> cosines_;  // [num_positions][half]
  Matrix<float> sines_;
};

// The tables of a batch: of every rope, one per length that stands for a set of frequencies.
class RopeTables {
 public:
  RopeTables(std::span<const RopeConfig> configs, std::span<const std::int64_t> sequence_lengths,
             std::int64_t num_positions);

  // By index of the length; empty for rope -1.
  std::span<const RopeTable> Of(int rope) const;

 private:
  std::vector<std::vector<RopeTable>> tables_;
};

}  // namespace prefscore
