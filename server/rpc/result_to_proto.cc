// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/result_to_proto.h"

#include <string>

#include "server/messages/objective_messages.h"
#include "server/messages/pair_messages.h"

namespace prefscore {
namespace {

void AppendFloats(const std::vector<double>& values, google::protobuf::RepeatedField<float>& floats) {
  floats.Reserve(static_cast<int>(values.size()));
  for (const double value : values) floats.AddAlreadyReserved(static_cast<float>(value));
}

void AppendIds(const TokenIds& ids, google::protobuf::RepeatedField<std::uint32_t>& out) {
  out.Add(ids.begin(), ids.end());
}

// The notes, where there is anything to tell.
void NotesToProto(const TokenizationNotes& notes, const PairOrigin& origin, v1::PairResult& result) {
  v1::TokenizationNotes proto;
  const auto merged = [&](std::size_t side) {
    return origin.is_sent[side] && side < notes.boundary_merged.size() && notes.boundary_merged[side];
  };
  const auto truncated = [&](std::size_t side) {
    return origin.is_sent[side] && side < notes.num_truncated_completion_tokens.size()
               ? notes.num_truncated_completion_tokens[side]
               : 0;
  };
  proto.set_chosen_boundary_merged(merged(kChosen));
  proto.set_rejected_boundary_merged(merged(kRejected));
  proto.set_num_unshared_prompt_tokens(notes.num_unshared_prompt_tokens);
  proto.set_num_truncated_prompt_tokens(notes.num_truncated_prompt_tokens);
  proto.set_num_truncated_chosen_tokens(truncated(kChosen));
  proto.set_num_truncated_rejected_tokens(truncated(kRejected));
  proto.set_template_date(notes.template_date);
  if (proto.ByteSizeLong() > 0) *result.mutable_tokenization() = std::move(proto);
}

bool IsComputed(const std::array<std::optional<double>, 2>& known) { return !known[kChosen] || !known[kRejected]; }

// Which models and which arithmetic the numbers come from.
void ProvenanceToProto(const PairOptions& options, const PairOrigin& origin, v1::PairResult& result) {
  std::string mode;
  const auto add_mode = [&mode](const std::string& name) {
    if (mode.empty()) {
      mode = name;
    } else if (mode != name) {
      mode += "+" + name;
    }
  };
  if (IsComputed(origin.known[0])) {
    result.set_policy_digest(options.policy->lm->info().digest);
    add_mode(options.policy->lm->info().numerics_mode);
  }
  if (options.reference != nullptr && IsComputed(origin.known[1])) {
    result.set_reference_digest(options.reference->lm->info().digest);
    add_mode(options.reference->lm->info().numerics_mode);
  }
  result.set_numerics_mode(mode);
  if (origin.is_text && options.policy->tokenizer != nullptr) {
    result.set_tokenizer_fingerprint(options.policy->tokenizer->fingerprint());
  }
}

// Which log-probs were not computed for this call, where any were not.
void CachedToProto(const PairOutcome& outcome, v1::PairResult& result) {
  v1::CachedLogProbs proto;
  proto.set_policy_chosen_logp(outcome.is_from_cache[0][kChosen]);
  proto.set_policy_rejected_logp(outcome.is_from_cache[0][kRejected]);
  proto.set_reference_chosen_logp(outcome.is_from_cache[1][kChosen]);
  proto.set_reference_rejected_logp(outcome.is_from_cache[1][kRejected]);
  if (proto.ByteSizeLong() > 0) *result.mutable_cached() = proto;
}

}  // namespace

void PairToProto(const PairOutcome& outcome, const PairOptions& options, const PairOrigin& origin, ResultDetail detail,
                 v1::PairResult& result) {
  LogProbsToProto(outcome.inputs.logps, result);
  for (std::size_t idx = 0; idx < options.objectives.size(); ++idx) {
    ObjectiveToProto(options.objectives[idx], outcome.objectives[idx], *result.add_objectives());
  }
  ProvenanceToProto(options, origin, result);
  if (outcome.ids == nullptr) return;  // no model was needed
  const PromptGroup& ids = *outcome.ids;

  result.set_num_prompt_tokens(ids.prompt.size());
  if (origin.is_sent[kChosen]) result.set_num_chosen_tokens(ids.completions[kChosen].size());
  if (origin.is_sent[kRejected]) result.set_num_rejected_tokens(ids.completions[kRejected].size());
  NotesToProto(outcome.notes, origin, result);
  CachedToProto(outcome, result);
  if (detail.with_token_logps) {
    v1::PairTokenLogProbs& logps = *result.mutable_token_logps();
    AppendFloats(outcome.token_logps[0][kChosen], *logps.mutable_policy_chosen());
    AppendFloats(outcome.token_logps[0][kRejected], *logps.mutable_policy_rejected());
    AppendFloats(outcome.token_logps[1][kChosen], *logps.mutable_reference_chosen());
    AppendFloats(outcome.token_logps[1][kRejected], *logps.mutable_reference_rejected());
  }
  if (detail.with_token_ids) {
    v1::PairTokenIds& proto = *result.mutable_token_ids();
    AppendIds(ids.prompt, *proto.mutable_prompt());
    if (origin.is_sent[kChosen]) AppendIds(ids.completions[kChosen], *proto.mutable_chosen());
    if (origin.is_sent[kRejected]) AppendIds(ids.completions[kRejected], *proto.mutable_rejected());
  }
}

void CompletionsToProto(const GroupOutcome& outcome, const CompletionOptions& options, ResultDetail detail,
                        v1::PromptResult& result) {
  for (std::size_t idx = 0; idx < outcome.completions.size(); ++idx) {
    const CompletionNotes& notes = outcome.completions[idx];
    v1::CompletionResult& proto = *result.add_completions();
    proto.set_num_prompt_tokens(notes.num_prompt_tokens);
    proto.set_num_completion_tokens(notes.num_completion_tokens);
    proto.set_boundary_merged(notes.boundary_merged);
    proto.set_num_truncated_completion_tokens(notes.num_truncated_completion_tokens);
    proto.set_num_truncated_prompt_tokens(notes.num_truncated_prompt_tokens);
    for (std::size_t model_idx = 0; model_idx < options.models.size(); ++model_idx) {
      const CompletionScore& score = outcome.scores[model_idx][idx];
      v1::ModelLogProb& logp = *proto.add_logps();
      logp.set_model(options.models[model_idx]->name);
      logp.set_logp(score.logp);
      logp.set_from_cache(score.is_from_cache);
      if (detail.with_token_logps) AppendFloats(score.token_logps, *logp.mutable_token_logps());
      if (detail.with_greedy_match) logp.set_is_greedy_match(score.is_greedy_match);
    }
  }
}

void TimingsToProto(const CallReport& report, absl::Duration total, v1::Timings& timings) {
  timings.set_total_us(absl::ToInt64Microseconds(total));
  timings.set_queue_us(absl::ToInt64Microseconds(report.queue));
  timings.set_tokenize_us(absl::ToInt64Microseconds(report.tokenize));
  timings.set_cache_lookup_us(absl::ToInt64Microseconds(report.cache_lookup));
  for (const ModelTime& time : report.forwards) {
    v1::ModelTiming& forward = *timings.add_forwards();
    forward.set_model(time.model->name);
    forward.set_forward_us(absl::ToInt64Microseconds(time.duration));
  }
}

void IdentityToProto(const HostedModel& model, v1::ModelIdentity& identity) {
  identity.set_name(model.name);
  identity.set_digest(model.lm->info().digest);
  if (model.tokenizer != nullptr) identity.set_tokenizer_fingerprint(model.tokenizer->fingerprint());
  identity.set_numerics_mode(model.lm->info().numerics_mode);
}

}  // namespace prefscore
