// SPDX-License-Identifier: Apache-2.0
// The server's services over an in-process channel, with fake models and a token file: no socket, no weights, all
// checks. The log is made with all content, and thrown away.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "server/access/token_store.h"
#include "server/logging/logger.h"
#include "server/metrics/metrics.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/diagnostics_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/scoring_service.h"
#include "server/scoring/scorer.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzzed_callers.h"

namespace prefscore::fuzz {

// Hosts "policy", "reference" and "bare", which has no tokenizer. The policy finds one token's log-prob not finite.
class FuzzedServer {
 public:
  // `folder` gets the token file, with the tokens of kCallers.
  explicit FuzzedServer(const InputFolder& folder);
  ~FuzzedServer();

  // Sends `messages`, which need not be messages, and reads to the end. Of a method with one request, `messages` has
  // one.
  grpc::Status Call(const char* path, const CallMetadata& metadata, const std::vector<std::string>& messages);

 private:
  std::unique_ptr<ModelRegistry> registry_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<Logger> logger_;
  std::unique_ptr<TokenStore> tokens_;
  std::unique_ptr<Scorer> scorer_;
  OpenCalls open_calls_;
  std::unique_ptr<ScoringService> scoring_;
  std::unique_ptr<DiagnosticsService> diagnostics_;
  std::unique_ptr<ModelService> models_;
  std::unique_ptr<AdminService> admin_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

}  // namespace prefscore::fuzz
