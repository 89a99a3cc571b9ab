// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/scoring_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/messages/objective_messages.h"
#include "server/messages/pair_messages.h"
#include "server/rpc/group_from_proto.h"
#include "server/rpc/outcome_status.h"
#include "server/rpc/resolve_options.h"
#include "server/rpc/result_to_proto.h"
#include "server/rpc/status_map.h"
#include "server/rpc/unary_call.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

using ScorePairsCall = UnaryCall<v1::ScorePairsRequest, v1::ScorePairsResponse>;
using ScoreCompletionsCall = UnaryCall<v1::ScoreCompletionsRequest, v1::ScoreCompletionsResponse>;
using EvaluateObjectivesCall = UnaryCall<v1::EvaluateObjectivesRequest, v1::EvaluateObjectivesResponse>;
using ListObjectivesCall = UnaryCall<v1::ListObjectivesRequest, v1::ListObjectivesResponse>;

// The error for the first string of `fields` that is not UTF-8.
absl::Status CheckText(const InvalidText& invalid_text, std::initializer_list<const char*> fields) {
  for (const char* field : fields) {
    const std::string invalid = invalid_text.Under(field);
    if (!invalid.empty()) return InvalidTextError(invalid);
  }
  return absl::OkStatus();
}

// Converts a pair or prompt at `path`; whatever is wrong with it names a field under `path`.
template <typename Convert>
auto ConvertItem(const InvalidText& invalid_text, const std::string& path, Convert convert) -> decltype(convert()) {
  const std::string invalid = invalid_text.Under(path);
  if (!invalid.empty()) return InvalidTextError(invalid);
  auto item = convert();
  if (!item.ok()) return UnderField(path, item.status());
  return item;
}

std::string PairPath(int index) { return absl::StrCat("pairs[", index, "]"); }
std::string PromptPath(int index) { return absl::StrCat("prompts[", index, "]"); }

absl::StatusOr<PairOptions> CheckScorePairs(const ScorePairsCall& call, const v1::ScorePairsRequest& request,
                                            const ServiceContext& context) {
  RETURN_IF_ERROR(CheckText(call.invalid_text(), {"options"}));
  RETURN_IF_ERROR(
      CheckCount("pairs", request.pairs_size(), "max_pairs_per_request", context.limits.max_pairs_per_request));
  return ResolveOptions(request.options(), context);
}

void HandleScorePairs(const ServiceContext& context, ScorePairsCall& call) {
  v1::ScorePairsRequest& request = call.request();
  const auto options = CheckScorePairs(call, request, context);
  if (!options.ok()) return call.Finish(options.status());
  const auto priority = ResolvePriority(request.options().priority(), Priority::kInteractive, "options.priority");
  if (!priority.ok()) return call.Finish(priority.status());
  call.log().SetModels(NamesOf(*options));

  std::vector<PairRequest> pairs;
  std::vector<PairOrigin> origins;
  for (int idx = 0; idx < request.pairs_size(); ++idx) {
    v1::PreferencePair& proto = *request.mutable_pairs(idx);
    v1::PairResult& result = *call.response().add_results();
    EchoPair(proto, idx, result);
    PairOrigin origin;
    origin.index = idx;
    auto pair = ConvertItem(call.invalid_text(), PairPath(idx), [&] {
      return PairFromProto(proto, RulesOf(*options, context), origin);
    });
    if (pair.ok()) {
      pairs.push_back(*std::move(pair));
      origins.push_back(origin);
    } else {
      FailPair(pair.status(), *context.metrics, result);
      call.log().CountItem(false);
    }
  }
  const bool with_timings = request.options().return_timings();
  if (pairs.empty()) {
    if (with_timings) call.AddTimings();
    return call.Finish(absl::OkStatus());
  }

  const ResultDetail detail = {request.options().return_token_logps(), request.options().return_token_ids()};
  context.scorer->ScorePairs(
      std::move(pairs), *options, call.MakeCall(*priority),
      [&context, &call, detail, with_timings, options = *options, origins = std::move(origins)](
          absl::Status status, PairOutcomes outcomes) {
        call.log().Add(outcomes.report);
        for (std::size_t idx = 0; idx < outcomes.pairs.size(); ++idx) {
          const PairOrigin& origin = origins[idx];
          PairOutcome& outcome = outcomes.pairs[idx];
          outcome.status = UnderField(PairPath(origin.index), outcome.status);
          AnswerPair(outcome, options, origin, detail, *context.metrics,
                     *call.response().mutable_results(origin.index));
          call.log().CountItem(outcome.status.ok());
        }
        BatchStatesToProto(outcomes.batch_states, *call.response().mutable_batch_states());
        if (with_timings) call.AddTimings();
        call.Finish(status);
      });
}

absl::StatusOr<CompletionOptions> CheckScoreCompletions(const ScoreCompletionsCall& call,
                                                        const v1::ScoreCompletionsRequest& request,
                                                        const ServiceContext& context) {
  RETURN_IF_ERROR(CheckText(call.invalid_text(), {"models", "profile"}));
  RETURN_IF_ERROR(
      CheckCount("prompts", request.prompts_size(), "max_pairs_per_request", context.limits.max_pairs_per_request));
  return ResolveOptions(request, context);
}

void HandleScoreCompletions(const ServiceContext& context, ScoreCompletionsCall& call) {
  v1::ScoreCompletionsRequest& request = call.request();
  const auto options = CheckScoreCompletions(call, request, context);
  if (!options.ok()) return call.Finish(options.status());
  const auto priority = ResolvePriority(request.priority(), Priority::kInteractive, "priority");
  if (!priority.ok()) return call.Finish(priority.status());
  call.log().SetModels(NamesOf(options->models));
  for (const HostedModel* model : options->models) IdentityToProto(*model, *call.response().add_models());

  std::vector<GroupRequest> groups;
  std::vector<int> indices;
  for (int idx = 0; idx < request.prompts_size(); ++idx) {
    v1::PromptCompletions& proto = *request.mutable_prompts(idx);
    v1::PromptResult& result = *call.response().add_results();
    result.set_id(proto.id());
    result.set_index(idx);
    auto group = ConvertItem(call.invalid_text(), PromptPath(idx), [&] {
      return CompletionsFromProto(proto, {context.limits, options->profile});
    });
    if (group.ok()) {
      groups.push_back(*std::move(group));
      indices.push_back(idx);
    } else {
      FailPrompt(group.status(), *context.metrics, result);
      call.log().CountItem(false);
    }
  }
  const bool with_timings = request.return_timings();
  if (groups.empty()) {
    if (with_timings) call.AddTimings();
    return call.Finish(absl::OkStatus());
  }

  const ResultDetail detail = {.with_token_logps = request.return_token_logps(),
                               .with_greedy_match = request.return_greedy_match()};
  context.scorer->ScoreCompletions(
      std::move(groups), *options, call.MakeCall(*priority),
      [&context, &call, detail, with_timings, options = *options, indices = std::move(indices)](
          absl::Status status, GroupOutcomes outcomes) {
        call.log().Add(outcomes.report);
        for (std::size_t idx = 0; idx < outcomes.prompts.size(); ++idx) {
          GroupOutcome& outcome = outcomes.prompts[idx];
          v1::PromptResult& result = *call.response().mutable_results(indices[idx]);
          outcome.status = UnderField(PromptPath(indices[idx]), outcome.status);
          AnswerPrompt(outcome, options, detail, *context.metrics, result);
          call.log().CountItem(outcome.status.ok());
        }
        if (with_timings) call.AddTimings();
        call.Finish(status);
      });
}

void HandleEvaluateObjectives(const ServiceContext& context, EvaluateObjectivesCall& call) {
  const v1::EvaluateObjectivesRequest& request = call.request();
  absl::Status status = CheckText(call.invalid_text(), {"objectives"});
  status.Update(
      CheckCount("pairs", request.pairs_size(), "max_pairs_per_request", context.limits.max_pairs_per_request));
  if (!status.ok()) return call.Finish(status);
  const auto objectives =
      ObjectivesFromProto(request.objectives(), "objectives", context.limits.max_objectives);
  if (!objectives.ok()) return call.Finish(objectives.status());

  std::vector<absl::Status> statuses(request.pairs_size());
  for (int idx = 0; idx < request.pairs_size(); ++idx) {
    const std::string invalid = call.invalid_text().Under(PairPath(idx));
    if (!invalid.empty()) statuses[idx] = InvalidTextError(invalid);
  }
  const std::vector<absl::Status> text_faults = statuses;
  EvaluateLogProbs(request.pairs(), *objectives, statuses, call.response());
  for (int idx = 0; idx < request.pairs_size(); ++idx) {
    if (statuses[idx].ok()) continue;
    *call.response().mutable_results(idx)->mutable_status() =
        ToRpcStatus(text_faults[idx].ok() ? UnderField(PairPath(idx), statuses[idx]) : statuses[idx]);
  }
  if (request.return_timings()) call.AddTimings();
  call.Finish(absl::OkStatus());
}

void HandleListObjectives(const ServiceContext&, ListObjectivesCall& call) {
  call.response() = ListObjectivesToProto();
  call.Finish(absl::OkStatus());
}

}  // namespace

grpc::ServerUnaryReactor* ScoringService::ScorePairs(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                     Bytes* response) {
  return ScorePairsCall::Start("ScorePairs", context_, rpc, request, response,
                               [this](ScorePairsCall& call) { HandleScorePairs(context_, call); });
}

grpc::ServerUnaryReactor* ScoringService::ScoreCompletions(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                           Bytes* response) {
  return ScoreCompletionsCall::Start("ScoreCompletions", context_, rpc, request, response,
                                     [this](ScoreCompletionsCall& call) { HandleScoreCompletions(context_, call); });
}

grpc::ServerUnaryReactor* ScoringService::EvaluateObjectives(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                             Bytes* response) {
  return EvaluateObjectivesCall::Start(
      "EvaluateObjectives", context_, rpc, request, response,
      [this](EvaluateObjectivesCall& call) { HandleEvaluateObjectives(context_, call); });
}

grpc::ServerUnaryReactor* ScoringService::ListObjectives(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                         Bytes* response) {
  return ListObjectivesCall::Start(
      "ListObjectives", context_, rpc, request, response,
      [this](ListObjectivesCall& call) { HandleListObjectives(context_, call); });
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ScoringService::StreamScorePairs(
    grpc::CallbackServerContext* rpc) {
  return PairStream::Start(context_, rpc, streams_);
}

}  // namespace prefscore
