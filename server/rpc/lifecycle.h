// SPDX-License-Identifier: Apache-2.0
// A server from bind to drain: its services and their health.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/rpc/diagnostics_service.h"
#include "server/rpc/listener.h"
#include "server/rpc/model_service.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/scoring_service.h"
#include "server/rpc/service_context.h"

namespace prefscore {

struct DrainTimes {
  // From health NOT_SERVING to the first refusal: for load balancers, which go on sending until they have noticed.
  absl::Duration delay;
  // From the first refusal on, for what was admitted until then.
  absl::Duration grace;
};

// What a drain did not wait for. Whoever sent it was told to try elsewhere, or lost the connection.
struct DrainReport {
  std::int64_t num_not_computed = 0;  // pairs and prompts that were queued, and calls that were being tokenised
  std::int64_t num_not_answered = 0;  // calls whose client did not take the answer, or whose batch took too long
  // What is known of a batch that did not end; empty: all have. What it uses cannot be taken down: end the process.
  std::string hung_batch;
  bool is_complete() const { return num_not_computed == 0 && num_not_answered == 0 && hung_batch.empty(); }
};

// Serves from Start until it is drained or destroyed. Health is that of the device: where it fails again and again, all
// but ModelService turn NOT_SERVING, until a batch or a probe (health_probe.h) succeeds. Calls are let in meanwhile. While
// a configured model is missing, the same are NOT_SERVING; each model's own health is that of "model/NAME".
class Server {
 public:
  // UNAVAILABLE where the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ListenerOptions& listener, const ServiceContext& context);
  ~Server();

  int port() const { return listener_.port(); }

  // Health NOT_SERVING; after the delay new work is refused with UNAVAILABLE; what was admitted is finished and answered;
  // then the server stops. What still waits after the grace is refused, too; the batch in flight gets kLastWords to end.
  // Where it does not, the server is not stopped, since gRPC would wait for the batch's calls. Once.
  DrainReport Drain(DrainTimes times);

  // Ends delay and grace of the drain that is under way, or to come. At any time, from any thread.
  void HurryDrain();

  // How long answers may take to leave once the grace is over.
  static constexpr absl::Duration kLastWords = absl::Seconds(2);

 private:
  explicit Server(const ServiceContext& context);
  // In health and metrics.
  void SetServing(const std::string& service, bool is_serving);
  std::string Describe(const BatchInFlight& batch) const;

  OpenCalls open_calls_;
  absl::Mutex mutex_;
  bool is_hurried_ ABSL_GUARDED_BY(mutex_) = false;
  std::atomic<std::int64_t> num_abandoned_{0};
  const ServiceContext context_;
  ScoringService scoring_service_;
  DiagnosticsService diagnostics_service_;
  ModelService model_service_;
  Listener listener_;
};

}  // namespace prefscore
