// SPDX-License-Identifier: Apache-2.0
// prefscore.v1.ScoringService. Handlers validate, convert and hand over; the scorer's threads finish the calls.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "prefscore/v1/scoring.grpc.pb.h"
#include "server/rpc/pair_stream.h"
#include "server/rpc/service_context.h"

namespace prefscore {

// All methods take raw bytes (parse_request.h says why).
using RawScoringService = v1::ScoringService::WithRawCallbackMethod_ScorePairs<
    v1::ScoringService::WithRawCallbackMethod_StreamScorePairs<
        v1::ScoringService::WithRawCallbackMethod_ScoreCompletions<
            v1::ScoringService::WithRawCallbackMethod_EvaluateObjectives<
                v1::ScoringService::WithRawCallbackMethod_ListObjectives<v1::ScoringService::Service>>>>>;

class ScoringService final : public RawScoringService {
 public:
  explicit ScoringService(const ServiceContext& context) : context_(context) {}

  // Ends the open streams, and streams to come, once what they have read is answered.
  void DrainStreams() { streams_.Drain(); }

 private:
  using Bytes = grpc::ByteBuffer;

  grpc::ServerUnaryReactor* ScorePairs(grpc::CallbackServerContext* rpc, const Bytes* request,
                                       Bytes* response) override;
  grpc::ServerUnaryReactor* ScoreCompletions(grpc::CallbackServerContext* rpc, const Bytes* request,
                                             Bytes* response) override;
  grpc::ServerUnaryReactor* EvaluateObjectives(grpc::CallbackServerContext* rpc, const Bytes* request,
                                               Bytes* response) override;
  grpc::ServerUnaryReactor* ListObjectives(grpc::CallbackServerContext* rpc, const Bytes* request,
                                           Bytes* response) override;
  grpc::ServerBidiReactor<Bytes, Bytes>* StreamScorePairs(grpc::CallbackServerContext* rpc) override;

  const ServiceContext context_;
  StreamSet<PairStream> streams_;
};

}  // namespace prefscore
