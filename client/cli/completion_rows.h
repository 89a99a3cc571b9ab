// SPDX-License-Identifier: Apache-2.0
// Rows of prompts with completions.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

struct CompletionRow {
  absl::Status fault;            // INVALID_ARGUMENT naming the field; else the prompt is complete
  v1::PromptCompletions prompt;  // its id is set, fault or not, where the row has one
};

CompletionRow ParseCompletionRow(const std::string& text);

}  // namespace prefscore::cli
