// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/fake_scoring_server.h"

#include <grpcpp/grpcpp.h>

#include <cmath>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "prefscore/v1/models.grpc.pb.h"
#include "prefscore/v1/scoring.grpc.pb.h"

namespace prefscore::testing {
namespace {

constexpr std::uint32_t kMaxMessageBytes = 100'000;

grpc::Status ToGrpc(const absl::Status& error, absl::Duration retry_delay = absl::ZeroDuration()) {
  google::rpc::Status status;
  status.set_code(static_cast<int>(error.code()));
  status.set_message(std::string(error.message()));
  if (retry_delay > absl::ZeroDuration()) {
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(retry_delay));
    info.mutable_retry_delay()->set_nanos(
        static_cast<int>(absl::ToInt64Nanoseconds(retry_delay - absl::Floor(retry_delay, absl::Seconds(1)))));
    status.add_details()->PackFrom(info);
  }
  return grpc::Status(static_cast<grpc::StatusCode>(error.code()), status.message(), status.SerializeAsString());
}

std::size_t Length(const v1::Content& content) {
  if (content.has_token_ids()) return content.token_ids().ids_size();
  return content.has_text() ? content.text().size() : content.conversation().ByteSizeLong();
}

}  // namespace

v1::PairResult FakeResult(const v1::PreferencePair& pair, const v1::ScoringOptions& options) {
  v1::PairResult result;
  result.set_id(pair.id());
  if (pair.chosen().text().find("fault") != std::string::npos) {
    google::rpc::BadRequest bad_request;
    bad_request.add_field_violations()->set_field("pair.chosen");
    bad_request.mutable_field_violations(0)->set_description("is faulty");
    result.mutable_status()->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
    result.mutable_status()->set_message("pair.chosen: is faulty");
    result.mutable_status()->add_details()->PackFrom(bad_request);
    return result;
  }
  const double chosen = static_cast<double>(Length(pair.chosen()));
  const double rejected = static_cast<double>(Length(pair.rejected()));
  result.set_policy_chosen_logp(-chosen);
  result.set_policy_rejected_logp(-rejected);
  result.set_reference_chosen_logp(-2 * chosen);
  result.set_reference_rejected_logp(-2 * rejected);
  result.set_chosen_logratio(chosen);
  result.set_rejected_logratio(rejected);
  result.set_policy_margin(rejected - chosen);
  result.set_reference_margin(2 * (rejected - chosen));
  result.set_num_prompt_tokens(static_cast<std::uint32_t>(Length(pair.prompt())));
  result.set_num_chosen_tokens(static_cast<std::uint32_t>(chosen));
  result.set_num_rejected_tokens(static_cast<std::uint32_t>(rejected));
  auto objectives = options.objectives();
  if (objectives.empty()) objectives.Add()->set_name("sigmoid");
  for (const v1::Objective& objective : objectives) {
    v1::ObjectiveResult& out = *result.add_objectives();
    const double beta = objective.has_beta() ? objective.beta() : 0.1;
    const double gamma = objective.has_gamma() ? objective.gamma() : beta;
    out.set_name(objective.name());
    out.set_beta(beta);
    out.set_gamma(gamma);
    out.set_chosen_reward(beta * -chosen - gamma * -2 * chosen);
    out.set_rejected_reward(beta * -rejected - gamma * -2 * rejected);
    out.set_logit(out.chosen_reward() - out.rejected_reward());
    out.set_loss(std::log1p(std::exp(-out.logit())));
  }
  result.set_policy_digest(options.expected_policy_digest());
  return result;
}

struct FakeScoringServer::State final : v1::ScoringService::Service {
  // The order matters: the server must stop before what its handlers use goes.
  mutable std::mutex mutex;
  std::deque<grpc::Status> failures;
  std::deque<StreamScript> scripts;
  std::vector<v1::PreferencePair> read_pairs;
  v1::ScoringOptions last_options;
  std::string model_version = "1";
  bool is_serving = true;
  int num_streams = 0;
  int num_calls = 0;

  struct Models final : v1::ModelService::Service {
    State& state;
    explicit Models(State& state) : state(state) {}

    grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                            v1::ListModelsResponse* response) override {
      std::unique_lock lock(state.mutex);
      for (const auto& [name, role] :
           {std::pair("policy", v1::MODEL_ROLE_POLICY), std::pair("reference", v1::MODEL_ROLE_REFERENCE)}) {
        v1::Model& model = *response->add_models();
        model.set_name(name);
        model.set_role(role);
        model.set_digest(absl::StrCat(name, "-", state.model_version));
        model.set_tokenizer_fingerprint("fingerprint");
        model.set_numerics_mode("fake");
      }
      response->mutable_limits()->set_max_message_bytes(kMaxMessageBytes);
      response->mutable_limits()->set_max_pairs_per_request(3);
      return grpc::Status::OK;
    }
  };

  struct Health final : grpc::health::v1::Health::Service {
    State& state;
    explicit Health(State& state) : state(state) {}

    grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
                       grpc::health::v1::HealthCheckResponse* response) override {
      if (request->service() == "unknown") return grpc::Status(grpc::NOT_FOUND, "no such service");
      std::unique_lock lock(state.mutex);
      response->set_status(state.is_serving ? grpc::health::v1::HealthCheckResponse::SERVING
                                            : grpc::health::v1::HealthCheckResponse::NOT_SERVING);
      return grpc::Status::OK;
    }
  };

  Models models{*this};
  Health health{*this};
  int port = 0;
  std::unique_ptr<grpc::Server> server;

  grpc::Status NextFailure() {
    std::unique_lock lock(mutex);
    ++num_calls;
    if (failures.empty()) return grpc::Status::OK;
    const grpc::Status failure = failures.front();
    failures.pop_front();
    return failure;
  }

  grpc::Status ScorePairs(grpc::ServerContext*, const v1::ScorePairsRequest* request,
                          v1::ScorePairsResponse* response) override {
    if (const grpc::Status failure = NextFailure(); !failure.ok()) return failure;
    for (const auto& pair : request->pairs()) *response->add_results() = FakeResult(pair, request->options());
    return grpc::Status::OK;
  }

  grpc::Status ScoreCompletions(grpc::ServerContext*, const v1::ScoreCompletionsRequest* request,
                                v1::ScoreCompletionsResponse* response) override {
    if (const grpc::Status failure = NextFailure(); !failure.ok()) return failure;
    for (const auto& prompt : request->prompts()) {
      v1::PromptResult& result = *response->add_results();
      result.set_id(prompt.id());
      for (const auto& completion : prompt.completions()) {
        v1::ModelLogProb& logp = *result.add_completions()->add_logps();
        logp.set_model("policy");
        logp.set_logp(-static_cast<double>(Length(completion)));
        if (request->return_greedy_match()) logp.set_is_greedy_match(false);
      }
    }
    return grpc::Status::OK;
  }

  using Stream = grpc::ServerReaderWriter<v1::StreamScorePairsResponse, v1::StreamScorePairsRequest>;

  // Writes the group in reverse. False: the script says to die.
  static bool Answer(std::vector<v1::PairResult>& group, StreamScript& script, Stream& stream) {
    for (; !group.empty(); group.pop_back()) {
      if (script.num_results_before_death-- == 0) return false;
      v1::StreamScorePairsResponse response;
      *response.mutable_result() = std::move(group.back());
      if (script.num_unscored-- > 0) {
        const std::uint32_t index = response.result().index();
        response.mutable_result()->Clear();
        response.mutable_result()->set_index(index);
        response.mutable_result()->mutable_status()->set_code(grpc::UNAVAILABLE);
      }
      stream.Write(response);
    }
    return true;
  }

  grpc::Status StreamScorePairs(grpc::ServerContext*, Stream* stream) override {
    StreamScript script;
    {
      std::unique_lock lock(mutex);
      ++num_streams;
      if (!scripts.empty()) {
        script = scripts.front();
        scripts.pop_front();
      }
    }
    if (const grpc::Status failure = NextFailure(); !failure.ok()) return failure;
    v1::StreamScorePairsRequest request;
    if (!stream->Read(&request) || !request.has_options()) return grpc::Status(grpc::INVALID_ARGUMENT, "no options");
    const v1::ScoringOptions options = request.options();
    {
      std::unique_lock lock(mutex);
      last_options = options;
      if (options.expected_policy_digest() != "" && options.expected_policy_digest() != "policy-" + model_version) {
        return grpc::Status(grpc::FAILED_PRECONDITION, "expected_policy_digest: is that of another model");
      }
    }
    const grpc::Status death(grpc::UNAVAILABLE, "died");
    std::vector<v1::PairResult> group;
    for (std::uint32_t index = 0; stream->Read(&request); ++index) {
      {
        std::unique_lock lock(mutex);
        read_pairs.push_back(request.pair());
      }
      group.push_back(FakeResult(request.pair(), options));
      group.back().set_index(index);
      if (static_cast<int>(group.size()) == script.group_size && !Answer(group, script, *stream)) return death;
    }
    return Answer(group, script, *stream) ? grpc::Status::OK : death;
  }
};

FakeScoringServer::FakeScoringServer() : state_(std::make_unique<State>()) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &state_->port);
  builder.RegisterService(state_.get());
  builder.RegisterService(&state_->models);
  builder.RegisterService(&state_->health);
  state_->server = builder.BuildAndStart();
}

FakeScoringServer::~FakeScoringServer() { state_->server->Shutdown(std::chrono::system_clock::now()); }

std::string FakeScoringServer::address() const { return absl::StrCat("127.0.0.1:", state_->port); }

void FakeScoringServer::FailNext(const absl::Status& error, absl::Duration retry_delay) {
  std::unique_lock lock(state_->mutex);
  state_->failures.push_back(ToGrpc(error, retry_delay));
}

void FakeScoringServer::ScriptNextStream(StreamScript script) {
  std::unique_lock lock(state_->mutex);
  state_->scripts.push_back(script);
}

void FakeScoringServer::SetServing(bool is_serving) {
  std::unique_lock lock(state_->mutex);
  state_->is_serving = is_serving;
}

void FakeScoringServer::SetModelVersion(const std::string& version) {
  std::unique_lock lock(state_->mutex);
  state_->model_version = version;
}

std::vector<std::string> FakeScoringServer::ReadPairIds() const {
  std::vector<std::string> ids;
  for (const v1::PreferencePair& pair : ReadPairs()) ids.push_back(pair.id());
  return ids;
}

std::vector<v1::PreferencePair> FakeScoringServer::ReadPairs() const {
  std::unique_lock lock(state_->mutex);
  return state_->read_pairs;
}

int FakeScoringServer::NumStreams() const {
  std::unique_lock lock(state_->mutex);
  return state_->num_streams;
}

int FakeScoringServer::NumCalls() const {
  std::unique_lock lock(state_->mutex);
  return state_->num_calls;
}

v1::ScoringOptions FakeScoringServer::LastOptions() const {
  std::unique_lock lock(state_->mutex);
  return state_->last_options;
}

}  // namespace prefscore::testing
