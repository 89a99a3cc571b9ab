// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/call_log.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "prefscore/v1/admin.pb.h"
#include "prefscore/v1/diagnostics.pb.h"
#include "prefscore/v1/models.pb.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxRequestIdLength = 128;
constexpr std::size_t kMaxContentBytes = 64 << 10;  // of one logged message

// The value, where the caller sent the key once.
std::optional<std::string> MetadataOf(const grpc::CallbackServerContext& rpc, const char* key) {
  const auto& metadata = rpc.client_metadata();
  const auto [begin, end] = metadata.equal_range(key);
  if (begin == end || std::next(begin) != end) return std::nullopt;
  return std::string(begin->second.data(), begin->second.size());
}

bool IsRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxRequestIdLength &&
         std::all_of(text.begin(), text.end(), [](char byte) { return byte >= ' ' && byte <= '~'; });
}

// Whether the message of `status` may quote what the caller sent.
bool IsAboutContent(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange: return true;
    default: return !FieldOf(status).empty();
  }
}

// Names of all fields of the services' messages.
const absl::flat_hash_set<std::string>& FieldNames() {
  static const auto* const kNames = [] {
    auto* names = new absl::flat_hash_set<std::string>();
    for (const auto* file : {v1::ScorePairsRequest::descriptor()->file(), v1::AnalyzePairsRequest::descriptor()->file(),
                             v1::GetModelRequest::descriptor()->file(), v1::SetLogLevelRequest::descriptor()->file()}) {
      for (int message = 0; message < file->message_type_count(); ++message) {
        const google::protobuf::Descriptor& type = *file->message_type(message);
        for (int field = 0; field < type.field_count(); ++field) names->insert(std::string(type.field(field)->name()));
      }
    }
    return names;
  }();
  return *kNames;
}

// A field's path up to the first part that is no field of ours: keys of maps are the caller's words.
std::string OwnPartOf(const std::string& path) {
  std::string own;
  for (const auto part : absl::StrSplit(path, '.')) {
    const std::string text(part);
    const std::size_t name_end = std::min(text.find('['), text.size());
    const bool is_indexed = text.find_first_not_of("[]0123456789", name_end) == std::string::npos;
    if (!is_indexed || !FieldNames().contains(text.substr(0, name_end))) break;
    absl::StrAppend(&own, own.empty() ? "" : ".", text);
  }
  return own;
}

LogLevel LevelOf(CallLog::Kind kind, grpc::StatusCode code) {
  switch (code) {
    case grpc::OK: return kind == CallLog::Kind::kUnary ? LogLevel::kDebug : LogLevel::kInfo;
    case grpc::INTERNAL:
    case grpc::UNKNOWN:
    case grpc::DATA_LOSS: return LogLevel::kError;
    default: return LogLevel::kInfo;
  }
}

}  // namespace

CallLog::CallLog(Kind kind, const char* method, Logger& logger, const CallLogOptions& options,
                 grpc::CallbackServerContext& rpc)
    : kind_(kind), method_(method), logger_(logger), options_(options), rpc_(rpc) {
  request_id_ = MetadataOf(rpc, "x-request-id").value_or("");
  if (!IsRequestId(request_id_)) request_id_ = RandomHex(32);
  rpc.AddTrailingMetadata("x-request-id", request_id_);
  if (const auto traceparent = MetadataOf(rpc, "traceparent")) trace_ = ParseTraceparent(*traceparent);
  if (trace_.has_value()) rpc.AddTrailingMetadata("traceresponse", trace_->Response());
}

void CallLog::OnMessage(const google::protobuf::Message& message) const {
  if (!options_.with_content || !logger_.IsLogged(LogLevel::kInfo)) return;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json).ok()) json = "(cannot be written as JSON)";
  if (json.size() > kMaxContentBytes) json = absl::StrCat(json.substr(0, kMaxContentBytes), "...");
  LogFields fields = {{"method", method_}, {"request_id", request_id_}, {"content", json}};
  logger_.Log(LogLevel::kInfo, "message", fields);
}

void CallLog::Add(const CallReport& report) {
  report_.tokenize += report.tokenize;
  report_.cache_lookup += report.cache_lookup;
  report_.queue += report.queue;
  report_.num_tokens += report.num_tokens;
  report_.num_cached_tokens += report.num_cached_tokens;
  for (const ModelTime& time : report.forwards) {
    auto sum = std::find_if(report_.forwards.begin(), report_.forwards.end(),
                            [&](const ModelTime& each) { return each.model == time.model; });
    if (sum == report_.forwards.end()) sum = report_.forwards.insert(sum, {.model = time.model, .duration = {}});
    sum->duration += time.duration;
  }
}

void CallLog::End(const absl::Status& status, grpc::StatusCode code, absl::Duration total) const {
  const bool is_slow = kind_ == Kind::kUnary && total >= options_.slow_call;
  const LogLevel level = std::max(LevelOf(kind_, code), is_slow ? LogLevel::kWarning : LogLevel::kDebug);
  if (!logger_.IsLogged(level)) return;
  LogFields fields = {{"method", method_}, {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}};
  AppendIds(fields);
  if (!models_.empty()) fields.emplace_back("models", models_);
  if (num_ok_ + num_failed_ > 0) {
    fields.emplace_back("scored", num_ok_);
    fields.emplace_back("failed", num_failed_);
    fields.emplace_back("tokens", report_.num_tokens);
    fields.emplace_back("cached_tokens", report_.num_cached_tokens);
  }
  AppendTimes(total, fields);
  if (code != grpc::OK) AppendError(status, fields);
  logger_.Log(level, is_slow ? "slow call" : "call", fields);
}

void CallLog::AppendIds(LogFields& fields) const {
  fields.emplace_back("request_id", request_id_);
  if (trace_.has_value()) {
    fields.emplace_back("trace_id", trace_->trace_id);
    fields.emplace_back("span_id", trace_->span_id);
    fields.emplace_back("parent_span_id", trace_->parent_span_id);
  }
  fields.emplace_back("peer", rpc_.peer());
  if (!token_.empty()) fields.emplace_back("token", token_);
}

void CallLog::AppendTimes(absl::Duration total, LogFields& fields) const {
  fields.emplace_back("total_us", absl::ToInt64Microseconds(total));
  // Pairs of a stream are under way together: sums of their phases would be the time of nothing.
  if (kind_ == Kind::kStream || num_ok_ + num_failed_ == 0) return;
  fields.emplace_back("queue_us", absl::ToInt64Microseconds(report_.queue));
  fields.emplace_back("tokenize_us", absl::ToInt64Microseconds(report_.tokenize));
  fields.emplace_back("cache_lookup_us", absl::ToInt64Microseconds(report_.cache_lookup));
  for (const ModelTime& time : report_.forwards) {
    fields.emplace_back("forward_us." + time.model->name, absl::ToInt64Microseconds(time.duration));
  }
}

void CallLog::AppendError(const absl::Status& status, LogFields& fields) const {
  const std::string field = OwnPartOf(FieldOf(status));
  if (!field.empty()) fields.emplace_back("field", field);
  if (!status.message().empty() && (options_.with_content || !IsAboutContent(status))) {
    fields.emplace_back("error", std::string(status.message()));
  }
}

}  // namespace prefscore
