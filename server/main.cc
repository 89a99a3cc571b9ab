// SPDX-License-Identifier: Apache-2.0
// prefscore-server: parse, load, serve, drain.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "server/access/token_file.h"
#include "server/access/token_store.h"
#include "server/cache/log_prob_cache.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/metrics/call_totals.h"
#include "server/metrics/exposer.h"
#include "server/metrics/gpu_metrics.h"
#include "server/metrics/log_metrics.h"
#include "server/metrics/metrics.h"
#include "server/metrics/process_metrics.h"
#include "server/metrics/scorer_metrics.h"
#include "server/metrics/tls_metrics.h"
#include "server/models/load_model.h"
#include "server/rpc/admin_server.h"
#include "server/rpc/lifecycle.h"
#include "server/rpc/service_context.h"
#include "server/scoring/calibration.h"
#include "server/scoring/health_probe.h"
#include "server/scoring/scorer.h"
#include "server/tls/certificate_files.h"
#include "server/util/descriptor_limit.h"
#include "server/util/host_port.h"
#include "server/util/periodic_task.h"
#include "server/util/status_macros.h"
#include "server/util/termination_signals.h"

namespace prefscore {
namespace {

// Exit codes. 0: stopped as asked, and whatever was admitted is answered.
constexpr int kFailed = 1;  // could not start
constexpr int kCutOff = 3;  // stopped as asked, but some admitted work was not waited for

// What "auto" means on this machine; a server that is slow for want of a GPU says why.
std::string ResolveDevice(const std::string& device, Logger& logger) {
  if (device != "auto") return device;
  const DeviceChoice choice = ChooseDevice();
  const std::string why = choice.why_no_gpu.empty() ? "" : absl::StrCat(" (", choice.why_no_gpu, ")");
  logger.Log(LogLevel::kInfo, absl::StrCat("device auto: ", choice.device, why));
  return choice.device;
}

// Null for a model that takes token ids only.
absl::StatusOr<std::shared_ptr<const Tokenizer>> LoadTokenizer(const ModelFolder& model, const Limits& limits) {
  if (!std::filesystem::exists(std::filesystem::path(model.folder) / "tokenizer.json")) return nullptr;
  TokenizerOptions options;
  options.max_text_bytes = limits.max_text_bytes;
  return Tokenizer::Load(model.folder, options);
}

absl::Status OfModel(const ModelFolder& model, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("model '", model.name, "' (", model.folder, "): ",
                                                  std::string(status.message())));
}

absl::Status CheckTokenFile(const AccessOptions& options) {
  return options.token_file.empty() ? absl::OkStatus() : ReadTokenFile(options.token_file).status();
}

// Null where all listeners serve plain text.
absl::StatusOr<std::shared_ptr<CertificateFiles>> OpenCertificateFiles(
    const TransportOptions& options, std::function<void(const std::string&)> warn) {
  if (options.tls.certificate.empty()) return nullptr;
  return CertificateFiles::Open(options.tls, {.warn = std::move(warn)});
}

// What would keep the server from starting, as far as it shows without reading weights; all of it, a line each.
absl::Status CheckFiles(const ServerConfig& config) {
  const auto warn = [](const std::string& text) { std::cout << "WARNING: " << text << std::endl; };
  std::string faults;
  for (const absl::Status& status :
       {OpenCertificateFiles(config.transport, warn).status(), CheckTokenFile(config.access)}) {
    if (!status.ok()) absl::StrAppend(&faults, faults.empty() ? "" : "\n", std::string(status.message()));
  }
  for (const ModelFolder& model : config.models.folders) {
    for (const absl::Status& status : {CheckModelFolder(model.folder), LoadTokenizer(model, config.limits).status()}) {
      if (!status.ok()) {
        absl::StrAppend(&faults, faults.empty() ? "" : "\n", std::string(OfModel(model, status).message()));
      }
    }
  }
  return faults.empty() ? absl::OkStatus() : absl::FailedPreconditionError(faults);
}

absl::StatusOr<HostedModel> Load(const ModelFolder& folder, const ServerConfig& config, const std::string& device) try {
  HostedModel model{.name = folder.name, .lm = nullptr, .tokenizer = nullptr};
  ASSIGN_OR_RETURN(model.lm, LoadModel(folder.folder, {.dtype = config.device.dtype,
                                                      .num_threads = config.device.num_threads,
                                                      .device = device}));
  ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizer(folder, config.limits));
  if (model.tokenizer != nullptr && model.tokenizer->vocab_size() > model.lm->info().vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("tokenizer.json has ids up to ", model.tokenizer->vocab_size() - 1,
                                                   ", but the model's vocab_size is ", model.lm->info().vocab_size));
  }
  return model;
} catch (const std::exception& error) {  // of the file system or the memory: of this model only
  return absl::InternalError(error.what());
}

absl::StatusOr<ModelRegistry> LoadAll(const ServerConfig& config, const std::string& device, Logger& logger) {
  std::vector<HostedModel> models;
  std::vector<MissingModel> missing;
  for (const ModelFolder& folder : config.models.folders) {
    auto model = Load(folder, config, device);
    if (!model.ok()) {
      missing.push_back({.name = folder.name, .reason = model.status()});
      logger.Log(LogLevel::kWarning, absl::StrCat("could not be loaded: ",
                                                  std::string(OfModel(folder, model.status()).message())));
      continue;
    }
    const ModelInfo& info = model->lm->info();
    logger.Log(LogLevel::kInfo,
               absl::StrCat("loaded model '", model->name, "': ", info.architecture, ", ", info.num_parameters,
                            " parameters, ", info.dtype, ", ", info.numerics_mode,
                            model->tokenizer == nullptr ? ", no tokenizer (token ids only)" : "", ", digest ",
                            info.digest));
    if (!info.same_bits_verified) {
      logger.Log(LogLevel::kWarning,
                 absl::StrCat("on this machine matrix products of '", model->name, "' move with the rows beside: ",
                              "the same ids may differ by a rounding from batch to batch"));
    }
    models.push_back(*std::move(model));
  }
  if (models.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no model could be loaded: ", absl::StrJoin(missing, "; ", [](auto* out, const auto& model) {
                       absl::StrAppend(out, "'", model.name, "': ", std::string(model.reason.message()));
                     })));
  }
  if (!missing.empty()) {
    logger.Log(LogLevel::kWarning,
               absl::StrCat("health is NOT_SERVING, since ", missing.size(), " of ", config.models.folders.size(),
                            " models could not be loaded; calls that need only the others are answered"));
  }
  return ModelRegistry::Create(std::move(models), config.models.policy, config.models.reference, std::move(missing));
}

// Null where the configuration wants none.
std::unique_ptr<LogProbCache> OpenCache(const ServerConfig& config, Metrics& metrics, Logger& logger) {
  if (config.cache.folder.empty()) {
    logger.Log(LogLevel::kInfo, "cache: off (--cache-dir is empty)");
    return nullptr;
  }
  CacheObserver observer = metrics.cache().Observer();
  observer.on_note = [folder = config.cache.folder, &logger](const std::string& note) {
    logger.Log(LogLevel::kInfo, absl::StrCat("cache ", folder, ": ", note));
  };
  return std::make_unique<LogProbCache>(
      LogProbCacheOptions{.folder = config.cache.folder, .max_bytes = config.cache.max_bytes}, std::move(observer));
}

CallLogOptions CallLogOptionsOf(const LoggingOptions& options) {
  CallLogOptions call_log{.slow_call = absl::InfiniteDuration(), .with_content = options.with_content};
  if (options.slow_request_ms > 0) call_log.slow_call = absl::Milliseconds(options.slow_request_ms);
  return call_log;
}

// Ends with the cache closed, or, where its disk hangs, ends the process: what hangs in the disk cannot be waited for.
class CacheAtEnd {
 public:
  explicit CacheAtEnd(std::unique_ptr<LogProbCache> cache) : cache_(std::move(cache)) {}
  CacheAtEnd(const CacheAtEnd&) = delete;
  ~CacheAtEnd() {
    constexpr absl::Duration kGrace = absl::Seconds(10);
    if (cache_ == nullptr || LogProbCache::Close(std::move(cache_), kGrace)) return;
    // Not by way of the log, whose thread may not get to it.
    std::cerr << "prefscore-server: the cache's disk did not answer within " << absl::FormatDuration(kGrace)
              << "; what was not written to it is lost" << std::endl;
    std::_Exit(1);
  }

  LogProbCache* get() const { return cache_.get(); }

 private:
  std::unique_ptr<LogProbCache> cache_;
};

constexpr absl::Duration kTokenFileLookPeriod = absl::Seconds(2);

// The tokens of a file, followed as it changes.
struct GuardedAccess {
  std::unique_ptr<TokenStore> tokens;  // null where there is no file
  std::unique_ptr<PeriodicTask> reload;
};

absl::StatusOr<GuardedAccess> OpenTokens(const AccessOptions& options, Metrics& metrics, Logger& logger) {
  GuardedAccess access;
  if (options.token_file.empty()) return access;
  AccessObserver observer = metrics.access().Observer();
  observer.on_note = [&logger](const std::string& note) {
    logger.Log(LogLevel::kInfo, absl::StrCat("tokens: ", note));
  };
  ASSIGN_OR_RETURN(access.tokens, TokenStore::Load(options.token_file, std::move(observer)));
  access.reload = std::make_unique<PeriodicTask>(kTokenFileLookPeriod,
                                                 [&tokens = *access.tokens] { tokens.ReloadIfChanged(); });
  return access;
}

// Drains until all is answered, the grace is over or a second signal comes.
DrainReport DrainOn(TerminationSignals& signals, Server& server, const ServerConfig& config, Logger& logger) {
  logger.Log(LogLevel::kInfo, "shutting down");
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

absl::StatusOr<DrainReport> Run(const ServerConfig& config, TerminationSignals& signals, Logger& logger) {
  RaiseDescriptorLimit();
  const auto warn = [&logger](const std::string& text) { logger.Log(LogLevel::kWarning, text); };
  ASSIGN_OR_RETURN(const std::shared_ptr<CertificateFiles> certificate_files,
                   OpenCertificateFiles(config.transport, warn));
  RETURN_IF_ERROR(CheckTokenFile(config.access));  // before models are loaded, which takes long
  const std::string device = ResolveDevice(config.device.device, logger);
  ASSIGN_OR_RETURN(const ModelRegistry registry, LoadAll(config, device, logger));
  Metrics metrics({std::begin(kMethodNames), std::end(kMethodNames)},
                  {std::begin(kServiceNames), std::end(kServiceNames)}, LabelsOf(registry));
  metrics.SetQueueLimit(config.limits.max_queued_tokens);
  ASSIGN_OR_RETURN(const GuardedAccess access, OpenTokens(config.access, metrics, logger));
  const CacheAtEnd cache(OpenCache(config, metrics, logger));
  ScorerOptions scorer_options;
  scorer_options.cache = cache.get();
  scorer_options.scheduler = SchedulerOptionsOf(config.limits);
  Scorer scorer(scorer_options, CountInto(metrics));

  std::unique_ptr<MetricsExposer> exposer;
  if (!config.listen.metrics.empty()) {
    MetricsExposer::Sources sources = {metrics.registry(), std::make_shared<ProcessMetrics>(),
                                       std::make_shared<GpuMetrics>(device), std::make_shared<LogMetrics>(logger)};
    if (certificate_files != nullptr) sources.push_back(std::make_shared<TlsMetrics>(certificate_files));
    ExposerOptions options = {.address = config.listen.metrics, .files = certificate_files};
    if (access.tokens != nullptr) {
      options.may_scrape = [&tokens = *access.tokens](const std::string& authorization) {
        return tokens.Authorize(authorization, Role::kMetrics).ok();
      };
    }
    ASSIGN_OR_RETURN(exposer, MetricsExposer::Start(std::move(options), std::move(sources)));
  }
  // Reflection cannot be made to ask for a token: where there are tokens, it is there only if asked for.
  const bool has_reflection = HasReflection(config.transport, config.listen) &&
                              (access.tokens == nullptr || config.transport.reflection == "on");
  const ServiceContext context = {.registry = &registry,
                                  .scorer = &scorer,
                                  .metrics = &metrics,
                                  .logger = &logger,
                                  .call_log = CallLogOptionsOf(config.logging),
                                  .limits = config.limits,
                                  .access = {access.tokens.get()}};
  std::unique_ptr<AdminServer> admin;
  if (!config.listen.admin.empty()) {
    ASSIGN_OR_RETURN(admin, AdminServer::Start({.address = config.listen.admin, .files = certificate_files}, context,
                                               {.tokens = access.tokens.get(),
                                                .logger = &logger,
                                                .certificate_files = certificate_files.get()}));
  }
  ASSIGN_OR_RETURN(const auto server, Server::Start({.address = config.listen.grpc,
                                                     .files = certificate_files,
                                                     .has_reflection = has_reflection},
                                                    context));
  signals.Serve();
  logger.Log(LogLevel::kInfo, absl::StrCat("listening on ", HostOf(config.listen.grpc), ":", server->port()));
  if (admin != nullptr) {
    logger.Log(LogLevel::kInfo, absl::StrCat("admin service on ", HostOf(config.listen.admin), ":", admin->port()));
  }
  if (exposer != nullptr) {
    logger.Log(LogLevel::kInfo,
               absl::StrCat("metrics on ", certificate_files == nullptr ? "http" : "https", "://",
                            HostOf(config.listen.metrics), ":", exposer->port(), "/metrics"));
  }
  Calibrate(scorer.scheduler(), registry.models(),
            {.on_fitted = [&metrics, &logger](const HostedModel& model, const CostCoefficients& cost) {
              logger.Log(LogLevel::kInfo,
                         absl::StrCat("model '", model.name, "' takes ", 1e6 * cost.seconds_per_token, " us a token, ",
                                      1e6 * cost.seconds_per_attended_position, " us an attended position, ",
                                      1e6 * cost.seconds_per_head_row, " us a head row and ",
                                      1e3 * cost.seconds_per_forward, " ms a pass"));
              metrics.OnCostFitted(model.name, cost);
            }});
  const HealthProbe health_probe(scorer.scheduler(), scorer.device_health(), registry.models());
  signals.Wait();
  const DrainReport report = DrainOn(signals, *server, config, logger);
  logger.Log(LogLevel::kInfo, absl::StrCat("stopped; since the start ", CallTotals(*metrics.registry())));
  return report;
}

// Where there is no log: of a command line that is wrong, or only checked.
int Fail(const absl::Status& status) {
  std::cerr << "prefscore-server: " << std::string(status.message()) << std::endl;
  return kFailed;
}

int Check(const CommandLine& line) {
  std::cout << line.effective << std::endl;
  const absl::Status status = CheckFiles(line.config);
  if (!status.ok()) return Fail(status);
  std::cout << "the configuration is good" << std::endl;
  return 0;
}

int Serve(const CommandLine& line) {
  TerminationSignals signals;  // before the log, which has a thread
  LoggerOptions options;
  options.format = line.config.logging.log_format();
  options.level = line.config.logging.log_level();
  Logger logger(options);
  for (const auto option : absl::StrSplit(line.effective, '\n', absl::SkipEmpty())) {
    logger.Log(LogLevel::kInfo, absl::StrCat("option ", option));
  }
  const auto report = Run(line.config, signals, logger);
  if (!report.ok()) {
    logger.Log(LogLevel::kError, std::string(report.status().message()));
    return kFailed;
  }
  if (report->is_complete()) return 0;
  logger.Log(LogLevel::kError,
             absl::StrCat("cut off by the end of --shutdown-grace or a second signal: ", report->num_not_computed,
                          " pairs, prompts or calls that waited to be scored, ", report->num_not_answered,
                          " calls that had no answer yet"));
  return kCutOff;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) try {
  const auto line = prefscore::ParseCommandLine(argc, argv);
  if (!line.ok()) return prefscore::Fail(line.status());
  if (!line->text.empty()) {
    std::cout << line->text;
    return 0;
  }
  return line->check_only ? prefscore::Check(*line) : prefscore::Serve(*line);
} catch (const std::exception& error) {  // no memory or no thread to start with
  std::cerr << "prefscore-server: " << error.what() << std::endl;
  return prefscore::kFailed;
}
