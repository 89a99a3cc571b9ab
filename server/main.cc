// SPDX-License-Identifier: Apache-2.0
// prefscore-server: parse, load, serve, drain.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "server/access/token_file.h"
#include "server/access/token_store.h"
#include "server/cache/log_prob_cache.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/metrics/call_totals.h"
#include "server/metrics/exposer.h"
#include "server/metrics/gpu_metrics.h"
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
std::string ResolveDevice(const std::string& device) {
  if (device != "auto") return device;
  const DeviceChoice choice = ChooseDevice();
  std::cout << "device auto: " << choice.device;
  if (!choice.why_no_gpu.empty()) std::cout << " (" << choice.why_no_gpu << ")";
  std::cout << std::endl;
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
absl::StatusOr<std::shared_ptr<CertificateFiles>> OpenCertificateFiles(const TransportOptions& options) {
  if (options.tls.certificate.empty()) return nullptr;
  return CertificateFiles::Open(options.tls, {.warn = [](const std::string& text) {
                                  std::cout << absl::StrCat("WARNING: ", text, "\n") << std::flush;
                                }});
}

// What would keep the server from starting, as far as it shows without reading weights; all of it, a line each.
absl::Status CheckFiles(const ServerConfig& config) {
  std::string faults;
  for (const absl::Status& status : {OpenCertificateFiles(config.transport).status(), CheckTokenFile(config.access)}) {
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

absl::StatusOr<ModelRegistry> LoadAll(const ServerConfig& config, const std::string& device) {
  std::vector<HostedModel> models;
  std::vector<MissingModel> missing;
  for (const ModelFolder& folder : config.models.folders) {
    auto model = Load(folder, config, device);
    if (!model.ok()) {
      missing.push_back({.name = folder.name, .reason = model.status()});
      std::cout << "WARNING: could not be loaded: " << std::string(OfModel(folder, model.status()).message())
                << std::endl;
      continue;
    }
    const ModelInfo& info = model->lm->info();
    std::cout << "loaded model '" << model->name << "': " << info.architecture << ", " << info.num_parameters
              << " parameters, " << info.dtype << ", " << info.numerics_mode
              << (model->tokenizer == nullptr ? ", no tokenizer (token ids only)" : "") << ", digest " << info.digest
              << std::endl;
    if (!info.same_bits_verified) {
      std::cout << "WARNING: on this machine matrix products of '" << model->name
                << "' move with the rows beside: the same ids may differ by a rounding from batch to batch" << std::endl;
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
    std::cout << "WARNING: health is NOT_SERVING, since " << missing.size() << " of " << config.models.folders.size()
              << " models could not be loaded; calls that need only the others are answered" << std::endl;
  }
  return ModelRegistry::Create(std::move(models), config.models.policy, config.models.reference, std::move(missing));
}

// Null where the configuration wants none.
std::unique_ptr<LogProbCache> OpenCache(const ServerConfig& config, Metrics& metrics) {
  if (config.cache.folder.empty()) {
    std::cout << "cache: off (--cache-dir is empty)" << std::endl;
    return nullptr;
  }
  CacheObserver observer = metrics.cache().Observer();
  observer.on_note = [folder = config.cache.folder](const std::string& note) {
    std::cout << absl::StrCat("cache ", folder, ": ", note, "\n") << std::flush;
  };
  return std::make_unique<LogProbCache>(
      LogProbCacheOptions{.folder = config.cache.folder, .max_bytes = config.cache.max_bytes}, std::move(observer));
}

// Ends with the cache closed, or, where its disk hangs, ends the process: what hangs in the disk cannot be waited for.
class CacheAtEnd {
 public:
  explicit CacheAtEnd(std::unique_ptr<LogProbCache> cache) : cache_(std::move(cache)) {}
  CacheAtEnd(const CacheAtEnd&) = delete;
  ~CacheAtEnd() {
    constexpr absl::Duration kGrace = absl::Seconds(10);
    if (cache_ == nullptr || LogProbCache::Close(std::move(cache_), kGrace)) return;
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
DrainReport DrainOn(TerminationSignals& signals, Server& server, const ServerConfig& config) {
  std::cout << "shutting down" << std::endl;
  std::thread second([&] {
    if (!signals.Wait()) return;
    std::cout << "a second signal: what waits is refused" << std::endl;
    server.HurryDrain();
  });
  const DrainReport report = server.Drain({.delay = config.shutdown.delay(), .grace = config.shutdown.grace()});
  signals.Stop();
  second.join();
  return report;
}

absl::StatusOr<DrainReport> Run(const ServerConfig& config, TerminationSignals& signals) {
  RaiseDescriptorLimit();
  Logger logger({});
  ASSIGN_OR_RETURN(const std::shared_ptr<CertificateFiles> certificate_files, OpenCertificateFiles(config.transport));
  RETURN_IF_ERROR(CheckTokenFile(config.access));  // before models are loaded, which takes long
  const std::string device = ResolveDevice(config.device.device);
  ASSIGN_OR_RETURN(const ModelRegistry registry, LoadAll(config, device));
  Metrics metrics({std::begin(kMethodNames), std::end(kMethodNames)},
                  {std::begin(kServiceNames), std::end(kServiceNames)}, LabelsOf(registry));
  metrics.SetQueueLimit(config.limits.max_queued_tokens);
  ASSIGN_OR_RETURN(const GuardedAccess access, OpenTokens(config.access, metrics, logger));
  const CacheAtEnd cache(OpenCache(config, metrics));
  ScorerOptions scorer_options;
  scorer_options.cache = cache.get();
  scorer_options.scheduler = SchedulerOptionsOf(config.limits);
  Scorer scorer(scorer_options, CountInto(metrics));

  std::unique_ptr<MetricsExposer> exposer;
  if (!config.listen.metrics.empty()) {
    MetricsExposer::Sources sources = {metrics.registry(), std::make_shared<ProcessMetrics>(),
                                       std::make_shared<GpuMetrics>(device)};
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
  std::cout << "listening on " << HostOf(config.listen.grpc) << ":" << server->port() << std::endl;
  if (admin != nullptr) {
    std::cout << "admin service on " << HostOf(config.listen.admin) << ":" << admin->port() << std::endl;
  }
  if (exposer != nullptr) {
    std::cout << "metrics on " << (certificate_files == nullptr ? "http" : "https") << "://" << HostOf(config.listen.metrics) << ":"
              << exposer->port() << "/metrics" << std::endl;
  }
  Calibrate(scorer.scheduler(), registry.models(),
            {.on_fitted = [&metrics](const HostedModel& model, const CostCoefficients& cost) {
              std::cout << "model '" << model.name << "' takes " << 1e6 * cost.seconds_per_token << " us a token, "
                        << 1e6 * cost.seconds_per_attended_position << " us an attended position, "
                        << 1e6 * cost.seconds_per_head_row << " us a head row and " << 1e3 * cost.seconds_per_forward
                        << " ms a pass" << std::endl;
              metrics.OnCostFitted(model.name, cost);
            }});
  const HealthProbe health_probe(scorer.scheduler(), scorer.device_health(), registry.models());
  signals.Wait();
  const DrainReport report = DrainOn(signals, *server, config);
  std::cout << "stopped; since the start " << CallTotals(*metrics.registry()) << std::endl;
  return report;
}

int Fail(const absl::Status& status) {
  std::cerr << "prefscore-server: " << std::string(status.message()) << std::endl;
  return kFailed;
}

int CheckOnly(const ServerConfig& config, const std::string& effective) {
  std::cout << effective << std::endl;
  const absl::Status status = CheckFiles(config);
  if (!status.ok()) return Fail(status);
  std::cout << "the configuration is good" << std::endl;
  return 0;
}

int ExitCodeOf(const DrainReport& report) {
  if (report.is_complete()) return 0;
  std::cerr << "prefscore-server: cut off by the end of --shutdown-grace or a second signal: " << report.num_not_computed
            << " pairs, prompts or calls that waited to be scored, " << report.num_not_answered
            << " calls that had no answer yet" << std::endl;
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
  if (line->check_only) return prefscore::CheckOnly(line->config, line->effective);
  prefscore::TerminationSignals signals;
  std::cout << line->effective << std::endl;
  const auto report = prefscore::Run(line->config, signals);
  return report.ok() ? prefscore::ExitCodeOf(*report) : prefscore::Fail(report.status());
} catch (const std::exception& error) {  // no memory or no thread to start with
  std::cerr << "prefscore-server: " << error.what() << std::endl;
  return prefscore::kFailed;
}
