// SPDX-License-Identifier: Apache-2.0
// From a prompt and completions on the wire to the scorer's terms. Every fault here is that of one pair or prompt, and
// names a field of it.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/config/limits.h"
#include "server/scoring/types.h"

namespace prefscore {

// What a pair's result needs to know of its request.
struct PairOrigin {
  std::int64_t index = 0;
  bool is_text = false;  // text or a conversation was tokenised
  KnownLogProbs known;
  std::array<bool, 2> is_sent = {true, true};  // a completion both of whose log-probs are known may be left out
};

// What the functions below check a pair or prompt against.
struct GroupRules {
  const Limits& limits;
  TokenizationProfile profile;
  bool has_reference = true;  // of pairs: a reference is asked
};

// Moves text and ids out of `pair`; its id stays. Fills `origin` but for the index.
absl::StatusOr<PairRequest> PairFromProto(v1::PreferencePair& pair, const GroupRules& rules, PairOrigin& origin);

// Moves text and ids out of `prompt`; its id stays.
absl::StatusOr<GroupRequest> CompletionsFromProto(v1::PromptCompletions& prompt, const GroupRules& rules);

}  // namespace prefscore
