// SPDX-License-Identifier: Apache-2.0
// Rows of pairs whose log-probs are known: what `prefscore score` writes, or a table of one's own.
//
// `policy_chosen_logp`, `policy_rejected_logp`, `reference_chosen_logp`, `reference_rejected_logp` (or TRL's
// `ref_chosen_logps`, `ref_rejected_logps`), `num_chosen_tokens`, `num_rejected_tokens`, `score_gap`, `token_logps`
// (lists under `policy_chosen`, ...), `labels`, `policy_digest`, `reference_digest`, `id`. Other members are ignored.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json_fwd.hpp"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

struct LogProbRow {
  // INVALID_ARGUMENT naming the field. A row that carries a `status` has that as its fault: OUT_OF_RANGE where a
  // log-prob was not finite, else INVALID_ARGUMENT.
  absl::Status fault;
  v1::PairLogProbs pair;  // its id is set, fault or not, where the row has one
};

// `label_fields`: members of the row that become labels, beside those under `labels`.
LogProbRow ParseLogProbRow(const std::string& text, const std::vector<std::string>& label_fields = {});

// The row's members `label_fields` and what is under `labels`. Strings, numbers and booleans; numbers as JSON writes
// them.
absl::Status FillLabels(const nlohmann::ordered_json& row, const std::vector<std::string>& label_fields,
                        google::protobuf::Map<std::string, std::string>& labels);

// The row's score_gap, where it has one.
absl::Status FillScoreGap(const nlohmann::ordered_json& row, double& score_gap, bool& has_score_gap);

}  // namespace prefscore::cli
