// SPDX-License-Identifier: Apache-2.0
#include "client/cli/command.h"

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefscore::cli {

std::function<void(const absl::Status&, absl::Duration)> RetryNote(std::function<void(const std::string&)> note) {
  return [note = std::move(note)](const absl::Status& status, absl::Duration delay) {
    note(absl::StrCat(status.ToString(), "; next attempt in ",
                      absl::FormatDuration(absl::Trunc(delay, absl::Milliseconds(1)))));
  };
}

std::unique_ptr<client::ScoringClient> ConnectTo(const ServerOptions& server,
                                                 std::function<void(const std::string&)> note) {
  client::ClientOptions options;
  options.timeout = server.timeout;
  options.retry.on_retry = RetryNote(std::move(note));
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
