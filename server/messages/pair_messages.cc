// SPDX-License-Identifier: Apache-2.0
#include "server/messages/pair_messages.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/messages/objective_messages.h"
#include "server/objectives/head_logps.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxIdBytes = 256;
constexpr std::size_t kMaxLabelBytes = 256;
constexpr std::size_t kMaxLabels = 8;

// Token log-probs travel as float32, and their sum in float64 need not be the sum of the rounded ones.
constexpr double kSumTolerance = 1e-5;

constexpr const char* kTokenFields[2][2] = {{"token_logps.policy_chosen", "token_logps.policy_rejected"},
                                            {"token_logps.reference_chosen", "token_logps.reference_rejected"}};

absl::StatusOr<double> LogProb(bool is_given, double logp, const char* name, bool is_required) {
  const std::string field = absl::StrCat("logps.", name);
  if (!is_given) {
    if (is_required) return FieldError(field, "is missing");
    return kUnknown;
  }
  if (std::isfinite(logp) && logp <= 0) return logp;
  return FieldError(field, absl::StrCat("is ", logp, "; a log-probability must be finite and <= 0"));
}

absl::Status CheckTokens(const std::vector<double>& token_logps, const std::string& field, double logp,
                         std::uint32_t num_tokens) {
  if (token_logps.empty()) return absl::OkStatus();
  if (num_tokens != 0 && token_logps.size() != num_tokens) {
    return FieldError(field,
                      absl::StrCat("has ", token_logps.size(), " entries; the completion has ", num_tokens, " tokens"));
  }
  double sum = 0;
  for (const double token_logp : token_logps) {
    if (!std::isfinite(token_logp) || token_logp > 0) {
      return FieldError(field, absl::StrCat("holds ", token_logp, "; a log-probability must be finite and <= 0"));
    }
    sum += token_logp;
  }
  if (std::fabs(sum - logp) <= kSumTolerance * (1.0 + std::fabs(logp))) return absl::OkStatus();
  return FieldError(field, absl::StrCat("sums to ", sum, "; the completion's log-prob is ", logp));
}

std::vector<double> ToDoubles(const google::protobuf::RepeatedField<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

absl::Status CheckId(const std::string& id) {
  if (id.size() <= kMaxIdBytes) return absl::OkStatus();
  return FieldError("id", absl::StrCat("has ", id.size(), " bytes; the limit is ", kMaxIdBytes));
}

absl::Status CheckLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  if (labels.size() > kMaxLabels) {
    return FieldError("labels", absl::StrCat("has ", labels.size(), " entries; the limit is ", kMaxLabels));
  }
  for (const auto& [name, value] : labels) {
    if (name.empty()) return FieldError("labels", "has a label without a name");
    if (name.size() <= kMaxLabelBytes && value.size() <= kMaxLabelBytes) continue;
    return FieldError("labels", absl::StrCat("has a name or value of ", std::max(name.size(), value.size()),
                                             " bytes; the limit is ", kMaxLabelBytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<PairInputs> InputsFromProto(const v1::PairLogProbs& pair) {
  RETURN_IF_ERROR(CheckId(pair.id()));
  RETURN_IF_ERROR(CheckLabels(pair.labels()));
  const v1::KnownLogProbs& logps = pair.logps();
  PairInputs inputs;
  ASSIGN_OR_RETURN(inputs.logps.policy_chosen_logp,
                   LogProb(logps.has_policy_chosen_logp(), logps.policy_chosen_logp(), "policy_chosen_logp", true));
  ASSIGN_OR_RETURN(
      inputs.logps.policy_rejected_logp,
      LogProb(logps.has_policy_rejected_logp(), logps.policy_rejected_logp(), "policy_rejected_logp", true));
  const bool has_reference = logps.has_reference_chosen_logp() || logps.has_reference_rejected_logp();
  ASSIGN_OR_RETURN(inputs.logps.reference_chosen_logp,
                   LogProb(logps.has_reference_chosen_logp(), logps.reference_chosen_logp(), "reference_chosen_logp",
                           has_reference));
  ASSIGN_OR_RETURN(inputs.logps.reference_rejected_logp,
                   LogProb(logps.has_reference_rejected_logp(), logps.reference_rejected_logp(),
                           "reference_rejected_logp", has_reference));
  if (pair.num_chosen_tokens() > 0) inputs.num_chosen_tokens = pair.num_chosen_tokens();
  if (pair.num_rejected_tokens() > 0) inputs.num_rejected_tokens = pair.num_rejected_tokens();
  if (pair.has_score_gap()) inputs.score_gap = pair.score_gap();
  if (!pair.has_token_logps()) return inputs;

  const v1::PairTokenLogProbs& tokens = pair.token_logps();
  const PairTokenLogps token_logps = {{{ToDoubles(tokens.policy_chosen()), ToDoubles(tokens.policy_rejected())},
                                       {ToDoubles(tokens.reference_chosen()), ToDoubles(tokens.reference_rejected())}}};
  const PairLogProbs& sums = inputs.logps;
  const double logp_of[2][2] = {{sums.policy_chosen_logp, sums.policy_rejected_logp},
                                {sums.reference_chosen_logp, sums.reference_rejected_logp}};
  const std::uint32_t num_tokens[2] = {pair.num_chosen_tokens(), pair.num_rejected_tokens()};
  for (int side = 0; side < 2; ++side) {
    for (int model = 0; model < 2; ++model) {
      RETURN_IF_ERROR(
          CheckTokens(token_logps[model][side], kTokenFields[model][side], logp_of[model][side], num_tokens[side]));
    }
    const std::size_t num_policy = token_logps[0][side].size();
    const std::size_t num_reference = token_logps[1][side].size();
    if (num_policy == 0 || num_reference == 0 || num_policy == num_reference) continue;
    return FieldError(kTokenFields[1][side], absl::StrCat("has ", num_reference, " entries, and ",
                                                          kTokenFields[0][side], " has ", num_policy));
  }
  inputs.head_logps = HeadLogProbs(token_logps, inputs.logps);
  return inputs;
}

void EvaluateLogProbs(const google::protobuf::RepeatedPtrField<v1::PairLogProbs>& pairs,
                      const std::vector<Objective>& objectives, std::vector<absl::Status>& statuses,
                      v1::EvaluateObjectivesResponse& response) {
  std::vector<PairInputs> inputs;
  std::vector<int> indices;
  for (int idx = 0; idx < pairs.size(); ++idx) {
    const v1::PairLogProbs& pair = pairs[idx];
    v1::PairResult& result = *response.add_results();
    EchoPair(pair, idx, result);
    if (!statuses[idx].ok()) continue;
    const auto pair_inputs = InputsFromProto(pair);
    statuses[idx] = pair_inputs.status();
    for (const Objective& objective : objectives) {
      if (statuses[idx].ok()) statuses[idx] = objective.CheckPair(*pair_inputs);
    }
    if (!statuses[idx].ok()) continue;
    LogProbsToProto(pair_inputs->logps, result);
    result.set_num_chosen_tokens(pair.num_chosen_tokens());
    result.set_num_rejected_tokens(pair.num_rejected_tokens());
    result.set_policy_digest(pair.policy_digest());
    result.set_reference_digest(pair.reference_digest());
    inputs.push_back(*pair_inputs);
    indices.push_back(idx);
  }
  std::vector<BatchState> states(objectives.size());
  for (std::size_t objective = 0; objective < objectives.size(); ++objective) {
    const std::vector<ObjectiveValue> values = Evaluate(objectives[objective], inputs, &states[objective]);
    for (std::size_t pair = 0; pair < values.size(); ++pair) {
      ObjectiveToProto(objectives[objective], values[pair], *response.mutable_results(indices[pair])->add_objectives());
    }
  }
  BatchStatesToProto(states, *response.mutable_batch_states());
}

void LogProbsToProto(const PairLogProbs& logps, v1::PairResult& result) {
  const PairMargins margins = ComputeMargins(logps);
  result.set_policy_chosen_logp(logps.policy_chosen_logp);
  result.set_policy_rejected_logp(logps.policy_rejected_logp);
  result.set_policy_margin(margins.policy_margin);
  if (!std::isnan(logps.reference_chosen_logp)) {
    result.set_reference_chosen_logp(logps.reference_chosen_logp);
    result.set_chosen_logratio(margins.chosen_logratio);
  }
  if (!std::isnan(logps.reference_rejected_logp)) {
    result.set_reference_rejected_logp(logps.reference_rejected_logp);
    result.set_rejected_logratio(margins.rejected_logratio);
  }
  if (!std::isnan(margins.reference_margin)) result.set_reference_margin(margins.reference_margin);
}

}  // namespace prefscore
