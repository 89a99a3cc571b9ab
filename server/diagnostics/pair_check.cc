// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/pair_check.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/diagnostics/limits.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr double kMaxTokens = 1e15;

// Comparisons with NaN are false; no short circuits, for speed.
bool IsLogp(double logp) { return (logp <= 0) & (logp >= -kLargestMagnitude); }
bool IsLength(double length) { return (length >= 1) & (length <= kMaxTokens); }
bool IsUnknown(double value) { return value != value; }

absl::Status CheckLogp(const char* field, double logp) {
  if (IsLogp(logp) || IsUnknown(logp)) return absl::OkStatus();
  return FieldError(field, absl::StrCat("is ", logp, "; it must be <= 0 and >= ", -kLargestMagnitude));
}

absl::Status CheckLength(const char* field, double length) {
  if (IsLength(length) || IsUnknown(length)) return absl::OkStatus();
  return FieldError(field, absl::StrCat("is ", length, "; it must be 1 to ", kMaxTokens));
}

}  // namespace

bool IsSound(const PairInputs& pair, unsigned needs) {
  const bool may_lack_reference = (needs & kReference) == 0;
  const bool may_lack_chosen_length = (needs & kChosenLength) == 0;
  const bool may_lack_rejected_length = (needs & kRejectedLength) == 0;
  const PairLogProbs& logps = pair.logps;
  bool is_sound = IsLogp(logps.policy_chosen_logp) & IsLogp(logps.policy_rejected_logp);
  is_sound &= IsLogp(logps.reference_chosen_logp) | (may_lack_reference & IsUnknown(logps.reference_chosen_logp));
  is_sound &= IsLogp(logps.reference_rejected_logp) | (may_lack_reference & IsUnknown(logps.reference_rejected_logp));
  is_sound &= IsLength(pair.num_chosen_tokens) | (may_lack_chosen_length & IsUnknown(pair.num_chosen_tokens));
  is_sound &= IsLength(pair.num_rejected_tokens) | (may_lack_rejected_length & IsUnknown(pair.num_rejected_tokens));
  if ((needs & kGap) != 0) is_sound &= (pair.score_gap > 0) & std::isfinite(pair.score_gap);
  if ((needs & kHeads) != 0) {
    const PairLogProbs& heads = pair.head_logps;
    is_sound &= IsLogp(heads.policy_chosen_logp) & IsLogp(heads.policy_rejected_logp);
    is_sound &= may_lack_reference | (IsLogp(heads.reference_chosen_logp) & IsLogp(heads.reference_rejected_logp));
  }
  return is_sound;
}

absl::Status FaultOf(const PairInputs& pair, const AnalysisPlan& plan) {
  for (const PlannedObjective& planned : plan.objectives) RETURN_IF_ERROR(planned.objective.CheckPair(pair));
  RETURN_IF_ERROR(CheckLogp("logps.policy_chosen_logp", pair.logps.policy_chosen_logp));
  RETURN_IF_ERROR(CheckLogp("logps.policy_rejected_logp", pair.logps.policy_rejected_logp));
  RETURN_IF_ERROR(CheckLogp("logps.reference_chosen_logp", pair.logps.reference_chosen_logp));
  RETURN_IF_ERROR(CheckLogp("logps.reference_rejected_logp", pair.logps.reference_rejected_logp));
  RETURN_IF_ERROR(CheckLength("num_chosen_tokens", pair.num_chosen_tokens));
  RETURN_IF_ERROR(CheckLength("num_rejected_tokens", pair.num_rejected_tokens));
  RETURN_IF_ERROR(CheckLogp("token_logps.policy_chosen", pair.head_logps.policy_chosen_logp));
  RETURN_IF_ERROR(CheckLogp("token_logps.policy_rejected", pair.head_logps.policy_rejected_logp));
  RETURN_IF_ERROR(CheckLogp("token_logps.reference_chosen", pair.head_logps.reference_chosen_logp));
  return CheckLogp("token_logps.reference_rejected", pair.head_logps.reference_rejected_logp);
}

bool HasNonFinite(const PairLogProbs& logps) {
  const auto is_infinite_or_unknown = [](double logp) { return !std::isfinite(logp); };
  return is_infinite_or_unknown(logps.policy_chosen_logp) || is_infinite_or_unknown(logps.policy_rejected_logp) ||
         std::isinf(logps.reference_chosen_logp) || std::isinf(logps.reference_rejected_logp);
}

}  // namespace prefscore
