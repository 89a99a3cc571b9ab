// SPDX-License-Identifier: Apache-2.0
// A model whose log-probs a test can work out by hand, and which misbehaves as it is told to.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "server/models/causal_lm.h"

namespace prefscore::testing {

// The log-prob of every token is -weight * (id + 1), whatever stands before it: greedy decoding gives token 0 for ever.
class FakeModel final : public CausalLm {
 public:
  explicit FakeModel(std::string digest, double weight = 0.25) : weight_(weight) {
    info_.architecture = "fake";
    info_.digest = std::move(digest);
    info_.dtype = "float32";
    info_.numerics_mode = "fake-1";
    info_.same_bits_verified = true;
    info_.num_parameters = 7;
    info_.vocab_size = 300;
    info_.max_context_tokens = 200;
  }

  const ModelInfo& info() const override { return info_; }
  ModelInfo& mutable_info() { return info_; }

  // Forward waits for `gate`. Set before the model is used.
  void BlockOn(absl::Notification* gate) { gate_ = gate; }
  // The log-prob of this token is NaN.
  void PoisonToken(TokenId id) { poisoned_ = id; }
  // Forward fails.
  void FailWith(absl::Status status) { failure_ = std::move(status); }

  // Forward asks first; what is not OK it returns, and what is thrown it throws. Set before the model is used.
  using Check = std::function<absl::Status(std::span<const PromptGroup* const>)>;
  void CheckWith(Check check) { check_ = std::move(check); }

  int num_forwards() const { return num_forwards_; }

  absl::StatusOr<std::vector<GroupTokenLogProbs>> Forward(
      std::span<const PromptGroup* const> groups) const override {
    ++num_forwards_;
    if (gate_ != nullptr) gate_->WaitForNotification();
    if (!failure_.ok()) return failure_;
    if (check_ != nullptr) {
      if (absl::Status status = check_(groups); !status.ok()) return status;
    }
    std::vector<GroupTokenLogProbs> results;
    for (const PromptGroup* group : groups) {
      GroupTokenLogProbs& result = results.emplace_back();
      for (const TokenIds& completion : group->completions) {
        CompletionLogProbs& logps = result.emplace_back(CompletionLogProbs{.token_logps = {}, .is_greedy_match = true});
        for (const TokenId id : completion) {
          logps.token_logps.push_back(poisoned_ == id ? std::numeric_limits<double>::quiet_NaN()
                                                      : -weight_ * (id + 1.0));
          logps.is_greedy_match = logps.is_greedy_match && id == 0;
        }
      }
    }
    return results;
  }

 private:
  const double weight_;
  ModelInfo info_;
  absl::Notification* gate_ = nullptr;
  std::optional<TokenId> poisoned_;
  absl::Status failure_;
  Check check_;
  mutable std::atomic<int> num_forwards_{0};
};

}  // namespace prefscore::testing
