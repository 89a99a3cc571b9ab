// SPDX-License-Identifier: Apache-2.0
// prefscore.v1.DiagnosticsService.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "prefscore/v1/diagnostics.grpc.pb.h"
#include "server/rpc/analysis_stream.h"
#include "server/rpc/service_context.h"
#include "server/util/worker_pool.h"

namespace prefscore {

// All methods take raw bytes (parse_request.h says why).
using RawDiagnosticsService =
    v1::DiagnosticsService::WithRawCallbackMethod_AnalyzePairs<v1::DiagnosticsService::Service>;

// Owns the threads that analyse.
class DiagnosticsService final : public RawDiagnosticsService {
 public:
  explicit DiagnosticsService(const ServiceContext& context) : context_(context), pool_(kNumThreads) {}

  // Ends the open streams, and streams to come, once the message that they work on is done.
  void DrainStreams() { streams_.Drain(); }

 private:
  // Analyses take the processor from the models, which have threads of their own: few are enough.
  static constexpr int kNumThreads = 2;

  grpc::ServerReadReactor<grpc::ByteBuffer>* AnalyzePairs(grpc::CallbackServerContext* rpc,
                                                          grpc::ByteBuffer* response) override {
    return AnalysisStream::Start(context_, rpc, response, pool_, streams_);
  }

  const ServiceContext context_;
  StreamSet<AnalysisStream> streams_;
  WorkerPool pool_;
};

}  // namespace prefscore
