// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/admin_service.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/config/config.h"
#include "server/rpc/model_to_proto.h"
#include "server/rpc/unary_call.h"
#include "server/util/error_reason.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using GetStatusCall = UnaryCall<v1::GetStatusRequest, v1::GetStatusResponse>;
using SetLogLevelCall = UnaryCall<v1::SetLogLevelRequest, v1::SetLogLevelResponse>;
using ReloadTokensCall = UnaryCall<v1::ReloadTokensRequest, v1::ReloadTokensResponse>;

v1::LogLevel LogLevelToProto(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return v1::LOG_LEVEL_DEBUG;
    case LogLevel::kInfo: return v1::LOG_LEVEL_INFO;
    case LogLevel::kWarning: return v1::LOG_LEVEL_WARNING;
    case LogLevel::kError: return v1::LOG_LEVEL_ERROR;
  }
  return v1::LOG_LEVEL_UNSPECIFIED;
}

std::optional<LogLevel> LogLevelFromProto(v1::LogLevel level) {
  for (const LogLevel each : {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError}) {
    if (LogLevelToProto(each) == level) return each;
  }
  return std::nullopt;
}

void TimeToProto(absl::Time time, google::protobuf::Timestamp& proto) {
  const std::int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<std::int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

void TokenFileToProto(const TokenFileState& state, v1::TokenFileStatus& proto) {
  proto.set_path(state.path);
  proto.set_num_tokens(static_cast<std::uint32_t>(state.num_tokens));
  TimeToProto(state.loaded, *proto.mutable_loaded_time());
  proto.set_fault(state.fault);
}

ServiceContext ForAdmins(ServiceContext context, OpenCalls& open_calls) {
  context.access.role = Role::kAdmin;
  context.open_calls = &open_calls;
  return context;
}

}  // namespace

AdminService::AdminService(const ServiceContext& context, const AdminContext& admin)
    : context_(ForAdmins(context, open_calls_)), admin_(admin) {}

grpc::ServerUnaryReactor* AdminService::GetStatus(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                  Bytes* response) {
  return GetStatusCall::Start("GetStatus", context_, rpc, request, response, [this](GetStatusCall& call) {
    v1::GetStatusResponse& status = call.response();
    status.set_server_version(kVersion);
    TimeToProto(start_, *status.mutable_start_time());
    for (const HostedModel& model : context_.registry->models()) {
      ModelToProto(model, *context_.registry, *status.add_models());
    }
    for (const MissingModel& model : context_.registry->missing()) {
      MissingToProto(model, *context_.registry, *status.add_models());
    }
    for (const Priority priority : kPriorities) {
      const QueueLoad load = context_.scorer->scheduler().held(priority);
      v1::QueueStatus& queue = *status.add_queues();
      queue.set_priority(kPriorityNames[static_cast<std::size_t>(priority)]);
      queue.set_num_tokens(static_cast<std::uint64_t>(load.num_tokens));
      queue.set_num_bytes(static_cast<std::uint64_t>(load.num_bytes));
    }
    status.set_num_open_streams(static_cast<std::uint32_t>(context_.metrics->num_open_streams()));
    status.set_log_level(LogLevelToProto(admin_.logger->level()));
    if (admin_.tokens != nullptr) TokenFileToProto(admin_.tokens->State(), *status.mutable_token_file());
    if (admin_.certificate_files != nullptr) {
      TimeToProto(admin_.certificate_files->Current()->expires_at, *status.mutable_certificate_expiry_time());
    }
    call.Finish(absl::OkStatus());
  });
}

grpc::ServerUnaryReactor* AdminService::SetLogLevel(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                    Bytes* response) {
  return SetLogLevelCall::Start("SetLogLevel", context_, rpc, request, response, [this](SetLogLevelCall& call) {
    const auto level = LogLevelFromProto(call.request().log_level());
    if (!level.has_value()) {
      return call.Finish(FieldError("log_level", absl::StrCat(static_cast<int>(call.request().log_level()),
                                                              " is not a known level")));
    }
    // Said under the level that tells more, and as gravely as that wants: a log that falls silent says who silenced it.
    const LogLevel previous = admin_.logger->level();
    const LogLevel both = std::min(previous, *level);
    admin_.logger->SetLevel(both);
    admin_.logger->Log(std::max(both, LogLevel::kInfo),
                       absl::StrCat("log level from now on: ", kLogLevelNames[static_cast<std::size_t>(*level)]),
                       {{"token", call.caller_name()}});
    admin_.logger->SetLevel(*level);
    call.response().set_previous_log_level(LogLevelToProto(previous));
    call.Finish(absl::OkStatus());
  });
}

grpc::ServerUnaryReactor* AdminService::ReloadTokens(grpc::CallbackServerContext* rpc, const Bytes* request,
                                                     Bytes* response) {
  return ReloadTokensCall::Start("ReloadTokens", context_, rpc, request, response, [this](ReloadTokensCall& call) {
    if (admin_.tokens == nullptr) {
      return call.Finish(WithReason(
          absl::FailedPreconditionError("the server has no token file; --token-file names one"), "NO_TOKEN_FILE"));
    }
    admin_.logger->Log(LogLevel::kInfo, "the token file is read when asked", {{"token", call.caller_name()}});
    const absl::Status status = admin_.tokens->Reload();
    if (!status.ok()) {
      return call.Finish(WithReason(absl::FailedPreconditionError(std::string(status.message())), "BROKEN_TOKEN_FILE"));
    }
    TokenFileToProto(admin_.tokens->State(), *call.response().mutable_token_file());
    call.Finish(absl::OkStatus());
  });
}

}  // namespace prefscore
