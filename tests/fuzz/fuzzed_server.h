// SPDX-License-Identifier: Apache-2.0
// The server's services over an in-process channel, with fake models: no socket, no weights, all checks.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "server/metrics/metrics.h"
#include "server/rpc/diagnostics_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/scoring_service.h"
#include "server/scoring/scorer.h"

namespace prefscore::fuzz {

// Hosts "policy", "reference" and "bare", which has no tokenizer. The policy finds one token's log-prob not finite.
class FuzzedServer {
 public:
  FuzzedServer();
  ~FuzzedServer();

  // Sends `messages`, which need not be messages, and reads to the end. Of a method with one request, `messages` has
  // one.
  grpc::Status Call(const char* path, const std::vector<std::string>& messages);

 private:
  std::unique_ptr<ModelRegistry> registry_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Scorer> scorer_;
  OpenCalls open_calls_;
  std::unique_ptr<ScoringService> scoring_;
  std::unique_ptr<DiagnosticsService> diagnostics_;
  std::unique_ptr<ModelService> models_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

}  // namespace prefscore::fuzz
