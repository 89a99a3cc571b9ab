// SPDX-License-Identifier: Apache-2.0
// The client of a prefscore server: one method per rpc, with a deadline and retries, and a stream for whole datasets.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/analysis_call.h"
#include "client/cpp/channel.h"
#include "client/cpp/pair_stream.h"
#include "client/cpp/retry.h"
#include "prefscore/v1/models.pb.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::client {

struct ClientOptions {
  absl::Duration timeout = absl::InfiniteDuration();  // of one method call, all its attempts together
  RetryPolicy retry;
  SecurityOptions security;
};

// Thread-safe. Errors carry the server's code, message and field violations.
class ScoringClient {
 public:
  // `address` is HOST:PORT. Returns at once; the connection is made by the first call. INVALID_ARGUMENT where
  // `options.security` contradicts itself, or would send a token in plain text to another machine.
  static absl::StatusOr<std::unique_ptr<ScoringClient>> Connect(const std::string& address, ClientOptions options = {});
  ~ScoringClient();

  absl::StatusOr<v1::ScorePairsResponse> ScorePairs(const v1::ScorePairsRequest& request);
  absl::StatusOr<v1::ScoreCompletionsResponse> ScoreCompletions(const v1::ScoreCompletionsRequest& request);
  absl::StatusOr<v1::EvaluateObjectivesResponse> EvaluateObjectives(const v1::EvaluateObjectivesRequest& request);
  absl::StatusOr<v1::ListObjectivesResponse> ListObjectives();
  absl::StatusOr<v1::ListModelsResponse> ListModels();
  absl::StatusOr<v1::GetModelResponse> GetModel(const std::string& name);

  // OK where the service serves; empty: the server as a whole. NOT_FOUND for a service that the server does not know,
  // UNAVAILABLE where it does not serve or cannot be reached. Never retried.
  absl::Status CheckHealth(const std::string& service = "");

  // The stream may outlive the client.
  std::unique_ptr<PairStream> OpenPairStream(PairStreamOptions options, PairStream::OnResult on_result);

  // The call may outlive the client. No deadline, no retries.
  std::unique_ptr<AnalysisCall> OpenAnalysis();

 private:
  struct Stubs;
  ScoringClient(std::shared_ptr<Stubs> stubs, ClientOptions options);

  const std::shared_ptr<Stubs> stubs_;
  const ClientOptions options_;
};

}  // namespace prefscore::client
