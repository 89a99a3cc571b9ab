// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/grpc_log.h"

#include <grpc/support/log.h>

#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/logging/line_limit.h"

namespace prefscore {
namespace {

constexpr absl::Duration kPeriod = absl::Seconds(1);

struct Target {
  Logger& logger;
  std::function<absl::Time()> now;
  std::map<std::string, LineLimit> limits = {};  // by place in gRPC's code
};

ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
Target* target ABSL_GUARDED_BY(mutex) = nullptr;

LogLevel LevelOf(gpr_log_severity severity) {
  switch (severity) {
    case GPR_LOG_SEVERITY_ERROR: return LogLevel::kWarning;
    case GPR_LOG_SEVERITY_INFO: return LogLevel::kInfo;
    case GPR_LOG_SEVERITY_DEBUG: return LogLevel::kDebug;
  }
  return LogLevel::kWarning;
}

void OnLine(gpr_log_func_args* line) {
  // gRPC ends the process next: the log's thread would not get to it.
  if (absl::StartsWith(line->message, "assertion failed")) {
    std::fprintf(stderr, "gRPC: %s:%d: %s\n", line->file, line->line, line->message);
    return;
  }
  const std::string_view path = line->file;
  const std::string place = absl::StrCat(std::string(path.substr(path.rfind('/') + 1)), ":", line->line);
  absl::MutexLock lock(&mutex);
  if (target == nullptr) return;  // gRPC's threads outlive its servers
  if (!target->logger.IsLogged(LevelOf(line->severity))) return;
  const auto held_back = target->limits.try_emplace(place, kPeriod, target->now).first->second.Admit();
  if (!held_back.has_value()) return;
  LogFields fields = {{"source", place}};
  if (*held_back > 0) fields.emplace_back("held_back", *held_back);
  target->logger.Log(LevelOf(line->severity), absl::StrCat("gRPC: ", line->message), fields);
}

}  // namespace

GrpcLog::GrpcLog(Logger& logger, std::function<absl::Time()> now) {
  absl::MutexLock lock(&mutex);
  target = new Target{logger, std::move(now)};
  gpr_set_log_function(OnLine);
}

GrpcLog::~GrpcLog() {
  gpr_set_log_function(nullptr);
  absl::MutexLock lock(&mutex);
  delete std::exchange(target, nullptr);
}

}  // namespace prefscore
