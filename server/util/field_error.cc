// SPDX-License-Identifier: Apache-2.0
#include "server/util/field_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

constexpr char kFieldPayload[] = "prefscore/field";

absl::Status WithField(absl::StatusCode code, const std::string& message, const std::string& field) {
  absl::Status status(code, message);
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

}  // namespace

absl::Status FieldError(const std::string& field, const std::string& description) {
  return WithField(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", description), field);
}

std::string FieldOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kFieldPayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

absl::Status UnderField(const std::string& parent, const absl::Status& status) {
  if (status.ok()) return status;
  const std::string field = FieldOf(status);
  const std::string message(status.message());
  absl::Status under = field.empty() ? WithField(status.code(), absl::StrCat(parent, ": ", message), parent)
                                     : WithField(status.code(), absl::StrCat(parent, ".", message),
                                                 absl::StrCat(parent, ".", field));
  status.ForEachPayload([&under](const auto& kind, const absl::Cord& payload) {
    if (kind != kFieldPayload) under.SetPayload(kind, payload);
  });
  return under;
}

}  // namespace prefscore
