// SPDX-License-Identifier: Apache-2.0
#include "client/cli/admin_command.h"

#include <cstdint>
#include <iostream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/cli/message_json.h"
#include "client/cpp/admin_client.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr char kLevelPrefix[] = "LOG_LEVEL_";

absl::StatusOr<std::unique_ptr<client::AdminClient>> Connect(const ServerOptions& server) {
  ASSIGN_OR_RETURN(const client::SecurityOptions security, ReadSecurity(server));
  return client::AdminClient::Connect(server.address, server.timeout, security);
}

// "LOG_LEVEL_INFO" is info.
std::string LevelName(v1::LogLevel level) {
  return absl::AsciiStrToLower(v1::LogLevel_Name(level).substr(sizeof kLevelPrefix - 1));
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime(absl::RFC3339_sec, absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
}

void PrintTokenFile(const v1::TokenFileStatus& file) {
  std::cout << absl::StrFormat("tokens       %d of %s, read at %s\n", file.num_tokens(), file.path(),
                               TimeText(file.loaded_time()));
  if (!file.fault().empty()) std::cout << "             the file is wrong since then: " << file.fault() << "\n";
}

}  // namespace

int RunAdminStatus(const AdminOptions& options) {
  const auto client = Connect(options.server);
  if (!client.ok()) return Fail(client.status());
  const absl::StatusOr<v1::GetStatusResponse> status = (*client)->GetStatus();
  if (!status.ok()) return Fail(status.status());
  if (options.json) {
    std::cout << MessageToJson(*status, JsonLayout::kIndented);
    return kAllDone;
  }
  std::cout << absl::StrFormat("version      %s, serves since %s\n", status->server_version(),
                               TimeText(status->start_time()));
  for (const v1::Model& model : status->models()) {
    if (model.state() == v1::MODEL_STATE_FAILED) {
      std::cout << absl::StrFormat("model        %s: NOT LOADED: %s\n", model.name(), model.load_error());
      continue;
    }
    std::cout << absl::StrFormat("model        %s: %s, %s, digest %s\n", model.name(), model.architecture(),
                                 model.dtype(), model.digest());
  }
  for (const v1::QueueStatus& queue : status->queues()) {
    std::cout << absl::StrFormat("queue        %s: %d tokens, %d bytes\n", queue.priority(), queue.num_tokens(),
                                 queue.num_bytes());
  }
  std::cout << absl::StrFormat("streams      %d open\nlog level    %s\n", status->num_open_streams(),
                               LevelName(status->log_level()));
  if (status->has_token_file()) {
    PrintTokenFile(status->token_file());
  } else {
    std::cout << "tokens       no token file: everybody who reaches the server may call it\n";
  }
  std::cout << "certificate  "
            << (status->has_certificate_expiry_time() ? "ends at " + TimeText(status->certificate_expiry_time())
                                                      : "none: what travels can be read on the way")
            << "\n";
  return kAllDone;
}

int RunAdminLogLevel(const AdminOptions& options) {
  v1::LogLevel level = v1::LOG_LEVEL_UNSPECIFIED;
  v1::LogLevel_Parse(absl::StrCat(kLevelPrefix, absl::AsciiStrToUpper(options.level)), &level);
  const auto client = Connect(options.server);
  if (!client.ok()) return Fail(client.status());
  const auto response = (*client)->SetLogLevel(level);
  if (!response.ok()) return Fail(response.status());
  std::cout << absl::StrFormat("log level %s, before %s\n", LevelName(level),
                               LevelName(response->previous_log_level()));
  return kAllDone;
}

int RunAdminReloadTokens(const AdminOptions& options) {
  const auto client = Connect(options.server);
  if (!client.ok()) return Fail(client.status());
  const auto response = (*client)->ReloadTokens();
  if (!response.ok()) return Fail(response.status());
  PrintTokenFile(response->token_file());
  return kAllDone;
}

}  // namespace prefscore::cli
