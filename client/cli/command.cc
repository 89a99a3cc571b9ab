// SPDX-License-Identifier: Apache-2.0
#include "client/cli/command.h"

#include <fstream>
#include <iostream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

// Nothing where no file is named.
absl::StatusOr<std::string> ReadFile(const char* flag, const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream file(path);
  std::ostringstream content;
  content << file.rdbuf();
  if (file.fail() || content.str().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(flag, " '", path, "': cannot be read, or is empty"));
  }
  return content.str();
}

}  // namespace

absl::StatusOr<client::SecurityOptions> ReadSecurity(const ServerOptions& server) {
  client::SecurityOptions security;
  client::TlsOptions tls;
  ASSIGN_OR_RETURN(tls.root_certificates, ReadFile("--tls-ca", server.tls_ca));
  ASSIGN_OR_RETURN(tls.certificate, ReadFile("--tls-certificate", server.tls_certificate));
  ASSIGN_OR_RETURN(tls.key, ReadFile("--tls-key", server.tls_key));
  tls.server_name = server.tls_server_name;
  if (server.has_tls || !server.tls_server_name.empty() || !server.tls_ca.empty() || !server.tls_certificate.empty()) security.tls = std::move(tls);
  ASSIGN_OR_RETURN(const std::string token, ReadFile("--token-file", server.token_file));
  security.token = std::string(absl::StripAsciiWhitespace(token));
  if (security.token.empty() && !server.token_file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--token-file '", server.token_file, "': holds no token"));
  }
  return security;
}

std::function<void(const absl::Status&, absl::Duration)> RetryNote(std::function<void(const std::string&)> note) {
  return [note = std::move(note)](const absl::Status& status, absl::Duration delay) {
    note(absl::StrCat(status.ToString(), "; next attempt in ",
                      absl::FormatDuration(absl::Trunc(delay, absl::Milliseconds(1)))));
  };
}

absl::StatusOr<std::unique_ptr<client::ScoringClient>> ConnectTo(const ServerOptions& server,
                                                                 std::function<void(const std::string&)> note) {
  client::ClientOptions options;
  options.timeout = server.timeout;
  options.retry.on_retry = RetryNote(std::move(note));
  ASSIGN_OR_RETURN(options.security, ReadSecurity(server));
  return client::ScoringClient::Connect(server.address, std::move(options));
}

int Fail(const absl::Status& status) {
  std::cerr << "prefscore: " << status.ToString(absl::StatusToStringMode::kWithNoExtraData) << std::endl;
  return kRunFailed;
}

const v1::Model* FindModel(const v1::ListModelsResponse& models, const std::string& name, v1::ModelRole role) {
  for (const v1::Model& model : models.models()) {
    const bool has_role = model.role() == role || model.role() == v1::MODEL_ROLE_POLICY_AND_REFERENCE;
    if (name.empty() ? has_role : model.name() == name) return &model;
  }
  return nullptr;
}

}  // namespace prefscore::cli
