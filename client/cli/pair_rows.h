// SPDX-License-Identifier: Apache-2.0
// Rows of preference pairs, in the forms that TRL's data sets have.
//
// `prompt`, `chosen`, `rejected`: strings, lists of messages or lists of token ids. Without a prompt, or with a text
// prompt next to message lists (as UltraFeedback has it), the prompt is the common start of chosen and rejected, as
// in TRL. Further members: `id`, `tools` (a JSON list, or its text), `chat_template_kwargs` (a JSON object, or its
// text), and log-probs that are known already: `policy_chosen_logp`, `policy_rejected_logp`, `reference_chosen_logp`,
// `reference_rejected_logp`, or TRL's `ref_chosen_logps`, `ref_rejected_logps`; `score_gap`, a number; `labels`, an
// object. Other members are ignored.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

struct PairRow {
  absl::Status fault;       // INVALID_ARGUMENT naming the field; else the pair is complete
  v1::PreferencePair pair;  // its id is set, fault or not, where the row has one
};

// `label_fields`: members of the row that become labels, beside those under `labels`.
PairRow ParsePairRow(const std::string& text, const std::vector<std::string>& label_fields = {});

}  // namespace prefscore::cli
