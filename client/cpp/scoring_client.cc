// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/scoring_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "prefscore/v1/diagnostics.grpc.pb.h"
#include "prefscore/v1/models.grpc.pb.h"
#include "prefscore/v1/scoring.grpc.pb.h"

namespace prefscore::client {

struct ScoringClient::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : scoring(channel), diagnostics(channel), models(channel), health(channel) {}

  v1::ScoringService::Stub scoring;
  v1::DiagnosticsService::Stub diagnostics;
  v1::ModelService::Stub models;
  grpc::health::v1::Health::Stub health;
};

namespace {

CallError FromGrpc(const grpc::Status& status) {
  return ToCallError(status.error_code(), status.error_message(), status.error_details());
}

void SetDeadline(grpc::ClientContext& context, absl::Time deadline) {
  if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
}

// Calls `method` of `stub` with retries.
template <typename Response, typename Stub, typename Request>
absl::StatusOr<Response> CallMethod(const ClientOptions& options, Stub& stub,
                                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                    const Request& request) {
  Response response;
  const absl::Status status = CallWithRetry(options.retry, options.timeout, [&](absl::Time deadline) {
    grpc::ClientContext context;
    SetDeadline(context, deadline);
    return FromGrpc((stub.*method)(&context, request, &response));
  });
  if (!status.ok()) return status;
  return response;
}

class GrpcPairConnection : public PairConnection {
 public:
  GrpcPairConnection(std::shared_ptr<void> keep_alive, v1::ScoringService::Stub& stub)
      : keep_alive_(std::move(keep_alive)), stream_(stub.StreamScorePairs(&context_)) {}

  bool Write(const v1::StreamScorePairsRequest& request) override { return stream_->Write(request); }
  void WritesDone() override { stream_->WritesDone(); }
  bool Read(v1::StreamScorePairsResponse* response) override { return stream_->Read(response); }
  CallError Finish() override { return FromGrpc(stream_->Finish()); }
  void Cancel() override { context_.TryCancel(); }

 private:
  const std::shared_ptr<void> keep_alive_;  // the stubs
  grpc::ClientContext context_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::StreamScorePairsRequest, v1::StreamScorePairsResponse>> stream_;
};

class GrpcAnalysisCall : public AnalysisCall {
 public:
  GrpcAnalysisCall(std::shared_ptr<void> keep_alive, v1::DiagnosticsService::Stub& stub)
      : keep_alive_(std::move(keep_alive)), writer_(stub.AnalyzePairs(&context_, &response_)) {}

  ~GrpcAnalysisCall() override {
    if (is_finished_) return;
    context_.TryCancel();
    writer_->Finish();
  }

  absl::Status Write(const v1::AnalyzePairsRequest& request) override {
    if (writer_->Write(request)) return absl::OkStatus();
    const absl::Status status = End();
    return status.ok() ? absl::InternalError("the server ended the call before its last message") : status;
  }

  absl::StatusOr<v1::AnalysisReport> Finish() override {
    writer_->WritesDone();
    const absl::Status status = End();
    if (!status.ok()) return status;
    return std::move(*response_.mutable_report());
  }

 private:
  absl::Status End() {
    is_finished_ = true;
    return FromGrpc(writer_->Finish()).status;
  }

  const std::shared_ptr<void> keep_alive_;  // the stubs
  grpc::ClientContext context_;
  v1::AnalyzePairsResponse response_;
  const std::unique_ptr<grpc::ClientWriter<v1::AnalyzePairsRequest>> writer_;
  bool is_finished_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ScoringClient>> ScoringClient::Connect(const std::string& address,
                                                                      ClientOptions options) {
  const auto channel = MakeChannel(address, options.security);
  if (!channel.ok()) return channel.status();
  return std::unique_ptr<ScoringClient>(new ScoringClient(std::make_shared<Stubs>(*channel), std::move(options)));
}

ScoringClient::ScoringClient(std::shared_ptr<Stubs> stubs, ClientOptions options)
    : stubs_(std::move(stubs)), options_(std::move(options)) {}

ScoringClient::~ScoringClient() = default;

absl::StatusOr<v1::ScorePairsResponse> ScoringClient::ScorePairs(const v1::ScorePairsRequest& request) {
  return CallMethod<v1::ScorePairsResponse>(options_, stubs_->scoring, &v1::ScoringService::Stub::ScorePairs,
                                            request);
}

absl::StatusOr<v1::ScoreCompletionsResponse> ScoringClient::ScoreCompletions(
    const v1::ScoreCompletionsRequest& request) {
  return CallMethod<v1::ScoreCompletionsResponse>(options_, stubs_->scoring,
                                                  &v1::ScoringService::Stub::ScoreCompletions, request);
}

absl::StatusOr<v1::EvaluateObjectivesResponse> ScoringClient::EvaluateObjectives(
    const v1::EvaluateObjectivesRequest& request) {
  return CallMethod<v1::EvaluateObjectivesResponse>(options_, stubs_->scoring,
                                                    &v1::ScoringService::Stub::EvaluateObjectives, request);
}

absl::StatusOr<v1::ListObjectivesResponse> ScoringClient::ListObjectives() {
  return CallMethod<v1::ListObjectivesResponse>(options_, stubs_->scoring, &v1::ScoringService::Stub::ListObjectives,
                                                v1::ListObjectivesRequest());
}

absl::StatusOr<v1::ListModelsResponse> ScoringClient::ListModels() {
  return CallMethod<v1::ListModelsResponse>(options_, stubs_->models, &v1::ModelService::Stub::ListModels,
                                            v1::ListModelsRequest());
}

absl::StatusOr<v1::GetModelResponse> ScoringClient::GetModel(const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(name);
  return CallMethod<v1::GetModelResponse>(options_, stubs_->models, &v1::ModelService::Stub::GetModel, request);
}

absl::Status ScoringClient::CheckHealth(const std::string& service) {
  using grpc::health::v1::HealthCheckResponse;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  grpc::ClientContext context;
  SetDeadline(context, options_.retry.now() + options_.timeout);
  const CallError error = FromGrpc(stubs_->health.Check(&context, request, &response));
  if (!error.status.ok() || response.status() == HealthCheckResponse::SERVING) return error.status;
  return absl::UnavailableError(HealthCheckResponse::ServingStatus_Name(response.status()));
}

std::unique_ptr<PairStream> ScoringClient::OpenPairStream(PairStreamOptions options, PairStream::OnResult on_result) {
  auto connect = [stubs = stubs_] { return std::make_shared<GrpcPairConnection>(stubs, stubs->scoring); };
  return std::make_unique<PairStream>(connect, std::move(options), std::move(on_result));
}

std::unique_ptr<AnalysisCall> ScoringClient::OpenAnalysis() {
  return std::make_unique<GrpcAnalysisCall>(stubs_, stubs_->diagnostics);
}

}  // namespace prefscore::client
