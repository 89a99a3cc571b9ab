// SPDX-License-Identifier: Apache-2.0
#include "client/cli/models_command.h"

#include <iostream>

#include "absl/strings/str_format.h"
#include "client/cli/message_json.h"
#include "client/cli/progress.h"

namespace prefscore::cli {
namespace {

const char* RoleName(v1::ModelRole role) {
  switch (role) {
    case v1::MODEL_ROLE_POLICY:
      return "policy";
    case v1::MODEL_ROLE_REFERENCE:
      return "reference";
    case v1::MODEL_ROLE_POLICY_AND_REFERENCE:
      return "policy, reference";
    default:
      return "-";
  }
}

void PrintModel(const v1::Model& model) {
  if (model.state() == v1::MODEL_STATE_FAILED) {
    std::cout << absl::StrFormat("%s\n  default role   %s\n  NOT LOADED     %s\n", model.name(), RoleName(model.role()),
                                 model.load_error());
    return;
  }
  const bool has_tokenizer = !model.tokenizer_fingerprint().empty();
  std::cout << absl::StrFormat(
      "%s\n  default role   %s\n  architecture   %s, %d parameters, %s\n  vocabulary     %d tokens\n"
      "  context        %d tokens\n  input          %s\n  digest         %s\n  tokenizer      %s\n  numerics mode  "
      "%s\n  same bits      %s\n",
      model.name(), RoleName(model.role()), model.architecture(), model.num_parameters(), model.dtype(),
      model.vocab_size(), model.max_context_tokens(),
      !has_tokenizer              ? "token ids"
      : model.has_chat_template() ? "text, messages, token ids"
                                  : "text, token ids",
      model.digest(), has_tokenizer ? model.tokenizer_fingerprint() : "none", model.numerics_mode(),
      model.same_bits_verified() ? "verified on the server's machine" : "not guaranteed on the server's machine");
}

// The limits' names are those of the proto, as in the server's errors.
void PrintLimits(const v1::Limits& limits) {
  std::cout << "limits\n";
  const auto* reflection = limits.GetReflection();
  for (int i = 0; i < limits.GetDescriptor()->field_count(); ++i) {
    const auto* field = limits.GetDescriptor()->field(i);
    const bool is_64_bit = field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT64;
    const std::uint64_t value =
        is_64_bit ? reflection->GetUInt64(limits, field) : reflection->GetUInt32(limits, field);
    std::cout << absl::StrFormat("  %-26s %12d\n", field->name(), value);
  }
}

}  // namespace

int RunModels(const ModelsOptions& options) {
  Progress progress(std::nullopt);
  const auto connected = ConnectTo(options.server, [&](const std::string& text) { progress.Note(text); });
  if (!connected.ok()) return Fail(connected.status());
  const absl::StatusOr<v1::ListModelsResponse> response = (*connected)->ListModels();
  if (!response.ok()) return Fail(response.status());
  if (options.json) {
    std::cout << MessageToJson(*response, JsonLayout::kIndented);
    return kAllDone;
  }
  for (const v1::Model& model : response->models()) PrintModel(model);
  PrintLimits(response->limits());
  return kAllDone;
}

}  // namespace prefscore::cli
