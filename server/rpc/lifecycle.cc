// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/lifecycle.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/status_macros.h"
#include "server/util/steady_clock.h"

namespace prefscore {
namespace {

// Between the announcement that a connection ends and its end.
constexpr absl::Duration kFarewell = absl::Milliseconds(500);

ServiceContext WithOpenCalls(ServiceContext context, OpenCalls& open_calls) {
  context.open_calls = &open_calls;
  return context;
}

// The service by whose name the health of a model is asked.
std::string ModelHealthName(const std::string& model) { return absl::StrCat("model/", model); }

void LogHealth(bool is_healthy, Logger& logger) {
  if (is_healthy) return logger.Log(LogLevel::kInfo, "the device computes again: health is what it was before");
  logger.Log(LogLevel::kWarning, absl::StrCat("health is NOT_SERVING: ", DeviceHealth::kFailedBatches,
                                              " batches in a row failed; a probe tries again"));
}

}  // namespace

Server::Server(const ServiceContext& context)
    : context_(WithOpenCalls(context, open_calls_)),
      scoring_service_(context_),
      diagnostics_service_(context_),
      model_service_(context_) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ListenerOptions& listener, const ServiceContext& context) {
  std::unique_ptr<Server> server(new Server(context));
  ASSIGN_OR_RETURN(server->listener_, Listen(listener, context.limits, *context.logger,
                                             {&server->scoring_service_, &server->diagnostics_service_,
                                              &server->model_service_}));
  server->SetServing(v1::ModelService::service_full_name(), true);
  context.scorer->device_health().Watch([server = server.get(), registry = context.registry, logger = context.logger,
                                         was_healthy = true](bool is_healthy) mutable {
    if (is_healthy != std::exchange(was_healthy, is_healthy)) LogHealth(is_healthy, *logger);
    grpc::HealthCheckServiceInterface* const health = server->listener_.server->GetHealthCheckService();
    const bool is_serving = is_healthy && registry->missing().empty();
    health->SetServingStatus("", is_serving);
    for (const char* service : {v1::ScoringService::service_full_name(), v1::DiagnosticsService::service_full_name()}) {
      server->SetServing(service, is_serving);
    }
    for (const HostedModel& model : registry->models()) {
      health->SetServingStatus(ModelHealthName(model.name), is_healthy);
    }
    for (const MissingModel& model : registry->missing()) health->SetServingStatus(ModelHealthName(model.name), false);
  });
  return server;
}

void Server::SetServing(const std::string& service, bool is_serving) {
  listener_.server->GetHealthCheckService()->SetServingStatus(service, is_serving);
  context_.metrics->SetServing(service, is_serving);
}

Server::~Server() {
  if (listener_.server != nullptr) Drain({absl::ZeroDuration(), absl::ZeroDuration()});
}

std::string Server::Describe(const BatchInFlight& batch) const {
  std::vector<std::string> models;
  for (const HostedModel& model : context_.registry->models()) {
    if (std::find(batch.models.begin(), batch.models.end(), model.lm.get()) != batch.models.end()) {
      models.push_back(absl::StrCat("'", model.name, "'"));
    }
  }
  return absl::StrCat("a batch of ", batch.num_jobs, " pairs or prompts, ", batch.num_tokens, " tokens, under ",
                      absl::StrJoin(models, " and "), " has run for ", absl::ToDoubleSeconds(batch.running),
                      " s and has not ended; predicted were ", batch.predicted_seconds, " s");
}

DrainReport Server::Drain(DrainTimes times) {
  context_.scorer->device_health().Watch(nullptr);
  listener_.server->GetHealthCheckService()->SetServingStatus(false);  // of all services
  for (const char* service : kServiceNames) context_.metrics->SetServing(service, false);
  {
    absl::MutexLock lock(&mutex_);
    AwaitSteadily(mutex_, absl::Condition(&is_hurried_), times.delay);
  }

  const absl::Time grace_end = SteadyNow() + times.grace;
  scoring_service_.DrainStreams();
  diagnostics_service_.DrainStreams();
  if (!context_.scorer->Drain(times.grace)) num_abandoned_ += context_.scorer->Abandon();
  open_calls_.Close();  // whoever still comes is refused, and not waited for
  open_calls_.AwaitNone(grace_end - SteadyNow());
  const absl::Time end = SteadyNow() + kLastWords;
  const auto hung_batch = context_.scorer->scheduler().AwaitBatchEnd(kLastWords);
  const DrainReport report = {.num_not_computed = num_abandoned_,
                              .num_not_answered = open_calls_.AwaitLast(end - SteadyNow()),
                              .hung_batch = hung_batch.has_value() ? Describe(*hung_batch) : ""};
  // Who watches the server's health never ends a call. Refusals get their time to leave.
  if (report.hung_batch.empty()) listener_.Stop(kFarewell);
  return report;
}

void Server::HurryDrain() {
  {
    absl::MutexLock lock(&mutex_);
    if (is_hurried_) return;
    is_hurried_ = true;
  }
  num_abandoned_ += context_.scorer->Abandon();
  open_calls_.Hurry();
}

}  // namespace prefscore
