// SPDX-License-Identifier: Apache-2.0
#include "client/cli/result_json.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/str_cat.h"
#include "client/cli/message_json.h"
#include "google/rpc/error_details.pb.h"  // BadRequest must be linked in to be printed
#include "google/rpc/status.pb.h"
#include "nlohmann/json.hpp"

namespace prefscore::cli {
namespace {

absl::StatusOr<std::string> StatusToJson(google::rpc::Status status) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (google::protobuf::util::MessageToJsonString(status, &text, options).ok()) return text;
  status.clear_details();  // of a type that this program does not know
  text.clear();
  const auto failure = google::protobuf::util::MessageToJsonString(status, &text, options);
  if (failure.ok()) return text;
  return absl::InternalError(std::string(failure.message().data(), failure.message().size()));
}

template <typename Result>
absl::StatusOr<std::string> AnyResultToJson(const Result& result) {
  if (!result.has_status()) return MessageToJson(result);
  const absl::StatusOr<std::string> status = StatusToJson(result.status());
  if (!status.ok()) return status.status();
  return absl::StrCat("{\"id\":", nlohmann::json(result.id()).dump(), ",\"index\":", result.index(),
                      ",\"status\":", *status, "}");
}

}  // namespace

absl::StatusOr<std::string> ResultToJson(const v1::PairResult& result) { return AnyResultToJson(result); }
absl::StatusOr<std::string> ResultToJson(const v1::PromptResult& result) { return AnyResultToJson(result); }

absl::StatusOr<v1::PairResult> PairResultFromJson(const std::string& text) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  v1::PairResult result;
  const auto status = google::protobuf::util::JsonStringToMessage(text, &result, options);
  if (!status.ok()) return absl::InvalidArgumentError("is not a result row");
  return result;
}

template <typename Result>
Result FaultyRow(const std::string& id, std::uint64_t index, std::uint64_t line, const absl::Status& fault) {
  Result result;
  result.set_id(id);
  result.set_index(static_cast<std::uint32_t>(index));
  result.mutable_status()->set_code(static_cast<int>(fault.code()));
  result.mutable_status()->set_message(absl::StrCat("line ", line, ": ", std::string(fault.message())));
  return result;
}

template v1::PairResult FaultyRow(const std::string&, std::uint64_t, std::uint64_t, const absl::Status&);
template v1::PromptResult FaultyRow(const std::string&, std::uint64_t, std::uint64_t, const absl::Status&);

}  // namespace prefscore::cli
