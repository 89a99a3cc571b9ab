// SPDX-License-Identifier: Apache-2.0
// From final hidden states to what their logits say of chosen tokens, without ever holding a row of logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/models/decoder_weights.h"
#include "server/models/numerics.h"
#include "server/models/packed_batch.h"
#include "server/models/packed_linear.h"
#include "server/models/thread_pool.h"

namespace prefscore {

// Immutable: thread-safe.
class LmHead {
 public:
  LmHead(const LinearView& view, double logit_softcap, Precision precision, const ThreadPool& pool)
      : linear_(std::span(&view, 1), precision, pool), softcap_(static_cast<float>(logit_softcap)) {}

  // log softmax(logits of the target's row)[target's token], nats, and whether the token is the row's argmax, for every
  // target. Logits are fp32, their log-sum-exp a double. Scratch is proportional to the number of rows, whatever the
  // vocabulary.
  std::vector<kernels::TargetScore> ScoreTargets(const GemmInput& hidden, std::span<const HeadTarget> targets,
                                                 const ThreadPool& pool) const;

  const PackedLinear& linear() const { return linear_; }

  // Writes the weights of one token [hidden]: its embedding, where the two are tied.
  void ReadTokenWeights(TokenId token, float* values) const { linear_.ReadRow(token, values); }

 private:
  PackedLinear linear_;  // [vocab][hidden]
  float softcap_;        // 0: none
};

}  // namespace prefscore
