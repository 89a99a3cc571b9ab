// SPDX-License-Identifier: Apache-2.0
#include "server/startup/run_server.h"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/metrics/call_totals.h"
#include "server/metrics/exposer.h"
#include "server/metrics/gpu_metrics.h"
#include "server/metrics/log_metrics.h"
#include "server/metrics/metrics.h"
#include "server/metrics/process_metrics.h"
#include "server/metrics/scorer_metrics.h"
#include "server/metrics/tls_metrics.h"
#include "server/rpc/admin_server.h"
#include "server/rpc/grpc_log.h"
#include "server/rpc/lifecycle.h"
#include "server/rpc/service_context.h"
#include "server/scoring/calibration.h"
#include "server/scoring/health_probe.h"
#include "server/scoring/scorer.h"
#include "server/startup/check_files.h"
#include "server/startup/load_models.h"
#include "server/startup/open_cache.h"
#include "server/startup/open_tokens.h"
#include "server/startup/service_manager.h"
#include "server/util/descriptor_limit.h"
#include "server/util/host_port.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

using CertificateFilesOrNull = std::shared_ptr<CertificateFiles>;

CallLogOptions CallLogOptionsOf(const LoggingOptions& options) {
  CallLogOptions call_log{.slow_call = absl::InfiniteDuration(), .with_content = options.with_content};
  if (options.slow_request_ms > 0) call_log.slow_call = absl::Milliseconds(options.slow_request_ms);
  return call_log;
}

// Null where the configuration wants no metrics to be read.
absl::StatusOr<std::unique_ptr<MetricsExposer>> StartExposer(const ServerConfig& config, const Metrics& metrics,
                                                             const std::string& device, const TokenStore* tokens,
                                                             const CertificateFilesOrNull& files, Logger& logger) {
  if (config.listen.metrics.empty()) return nullptr;
  MetricsExposer::Sources sources = {metrics.registry(), std::make_shared<ProcessMetrics>(),
                                     std::make_shared<GpuMetrics>(device), std::make_shared<LogMetrics>(logger)};
  if (files != nullptr) sources.push_back(std::make_shared<TlsMetrics>(files));
  ExposerOptions options = {.address = config.listen.metrics, .files = files};
  if (tokens != nullptr) {
    options.may_scrape = [tokens, &logger](std::span<const std::string_view> authorizations) {
      const absl::Status status = tokens->Authorize(authorizations, Role::kMetrics).status();
      if (!status.ok()) logger.Log(LogLevel::kInfo, "scrape refused", {{"error", std::string(status.message())}});
      return status;
    };
  }
  ASSIGN_OR_RETURN(auto exposer, MetricsExposer::Start(std::move(options), std::move(sources)));
  logger.Log(LogLevel::kInfo, absl::StrCat("metrics on ", files == nullptr ? "http" : "https", "://",
                                           HostOf(config.listen.metrics), ":", exposer->port(), "/metrics"));
  return exposer;
}

// Null where the configuration wants no admin service.
absl::StatusOr<std::unique_ptr<AdminServer>> StartAdmin(const ServerConfig& config, const ServiceContext& context,
                                                        TokenStore* tokens, const CertificateFilesOrNull& files) {
  if (config.listen.admin.empty()) return nullptr;
  ASSIGN_OR_RETURN(auto admin, AdminServer::Start(
                                   {.address = config.listen.admin, .files = files}, context,
                                   {.tokens = tokens, .logger = context.logger, .certificate_files = files.get()}));
  context.logger->Log(LogLevel::kInfo,
                      absl::StrCat("admin service on ", HostOf(config.listen.admin), ":", admin->port()));
  return admin;
}

absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerConfig& config, const ServiceContext& context,
                                                    const CertificateFilesOrNull& files) {
  // Reflection cannot be made to ask for a token: where there are tokens, it is there only if asked for.
  const bool has_reflection = HasReflection(config.transport, config.listen) &&
                              (config.access.token_file.empty() || config.transport.reflection == "on");
  ASSIGN_OR_RETURN(auto server,
                   Server::Start({.address = config.listen.grpc, .files = files, .has_reflection = has_reflection},
                                 context));
  context.logger->Log(LogLevel::kInfo, absl::StrCat("listening on ", HostOf(config.listen.grpc), ":", server->port()));
  return server;
}

CalibrationOptions TellCosts(Metrics& metrics, Logger& logger) {
  return {.on_fitted = [&metrics, &logger](const HostedModel& model, const CostCoefficients& cost) {
    logger.Log(LogLevel::kInfo,
               absl::StrCat("model '", model.name, "' takes ", 1e6 * cost.seconds_per_token, " us a token, ",
                            1e6 * cost.seconds_per_attended_position, " us an attended position, ",
                            1e6 * cost.seconds_per_head_row, " us a head row and ", 1e3 * cost.seconds_per_forward,
                            " ms a pass"));
    metrics.OnCostFitted(model.name, cost);
  }};
}

void TellManager(const std::string& lines, Logger& logger) {
  const absl::Status status = TellServiceManager(lines);
  if (!status.ok()) logger.Log(LogLevel::kWarning, absl::StrCat("cannot tell: ", std::string(status.message())));
}

// Drains until all is answered, the grace is over or a second signal comes.
DrainReport DrainOn(TerminationSignals& signals, Server& server, const ServerConfig& config, Logger& logger) {
  logger.Log(LogLevel::kInfo, "shutting down");
  // And three seconds for what else is ended. deploy/ gives a stop as long.
  const absl::Duration longest = config.shutdown.delay() + config.shutdown.grace() + Server::kLastWords +
                                 CacheAtEnd::kGrace + absl::Seconds(3);
  TellManager(absl::StrCat("STOPPING=1\nEXTEND_TIMEOUT_USEC=", absl::ToInt64Microseconds(longest)), logger);
  std::thread second([&] {
    if (!signals.Wait()) return;
    logger.Log(LogLevel::kInfo, "a second signal: what waits is refused");
    server.HurryDrain();
  });
  const DrainReport report = server.Drain({.delay = config.shutdown.delay(), .grace = config.shutdown.grace()});
  signals.Stop();
  second.join();
  return report;
}

std::string CutOff(const DrainReport& report) {
  return absl::StrCat("cut off by the end of --shutdown-grace or a second signal: ", report.num_not_computed,
                      " pairs, prompts or calls that waited to be scored, ", report.num_not_answered,
                      " calls that had no answer yet");
}

// What a batch that does not end uses cannot be taken down, and the log's thread is not waited for.
[[noreturn]] void EndWithHungBatch(const DrainReport& report, const std::string& totals) {
  std::cerr << absl::StrCat("prefscore-server: ", totals, "\nprefscore-server: ", CutOff(report),
                            "\nprefscore-server: ended without waiting any longer: ", report.hung_batch, "\n")
            << std::flush;
  std::_Exit(kBatchHung);
}

}  // namespace

absl::StatusOr<ExitCode> RunServer(const ServerConfig& config, TerminationSignals& signals, Logger& logger) {
  const GrpcLog grpc_log(logger);
  RaiseDescriptorLimit();
  ASSIGN_OR_RETURN(
      const CertificateFilesOrNull files,
      OpenCertificateFiles(config.transport,
                           {.warn = [&logger](const std::string& text) { logger.Log(LogLevel::kWarning, text); },
                            .note = [&logger](const std::string& text) { logger.Log(LogLevel::kInfo, text); }}));
  Metrics metrics({std::begin(kMethodNames), std::end(kMethodNames)},
                  {std::begin(kServiceNames), std::end(kServiceNames)});
  metrics.SetQueueLimit(config.limits.max_queued_tokens);
  ASSIGN_OR_RETURN(const GuardedAccess access, OpenTokens(config.access, metrics, logger));
  const std::string device = ResolveDevice(config.device.device, logger);
  // Before models are loaded, which may take minutes: who watches sees a server that starts, not one that is down.
  ASSIGN_OR_RETURN(const auto exposer, StartExposer(config, metrics, device, access.tokens.get(), files, logger));
  ASSIGN_OR_RETURN(const ModelRegistry registry, LoadModels(config, device, logger));
  metrics.SetModels(LabelsOf(registry));
  CacheAtEnd cache(OpenCache(config, metrics, logger));
  ScorerOptions scorer_options;
  scorer_options.cache = cache.get();
  scorer_options.scheduler = SchedulerOptionsOf(config.limits);
  Scorer scorer(scorer_options, CountInto(metrics));
  const ServiceContext context = {.registry = &registry,
                                  .scorer = &scorer,
                                  .metrics = &metrics,
                                  .logger = &logger,
                                  .call_log = CallLogOptionsOf(config.logging),
                                  .limits = config.limits,
                                  .access = {access.tokens.get()}};
  ASSIGN_OR_RETURN(const auto admin, StartAdmin(config, context, access.tokens.get(), files));
  signals.Serve();  // before the first call is let in: from then on a signal drains
  ASSIGN_OR_RETURN(const auto server, StartServer(config, context, files));
  TellManager("READY=1", logger);
  Calibrate(scorer.scheduler(), registry.models(), TellCosts(metrics, logger));
  const HealthProbe health_probe(scorer.scheduler(), scorer.device_health(), registry.models());
  signals.Wait();
  const DrainReport report = DrainOn(signals, *server, config, logger);
  const std::string totals = absl::StrCat("stopped; since the start ", CallTotals(*metrics.registry()));
  if (!report.hung_batch.empty()) EndWithHungBatch(report, totals);
  logger.Log(LogLevel::kInfo, totals);
  cache.EndIfItHangsWith(report.is_complete() ? kCacheLost : kCutOff);
  if (report.is_complete()) return kComplete;
  logger.Log(LogLevel::kError, CutOff(report));
  return kCutOff;
}

}  // namespace prefscore
