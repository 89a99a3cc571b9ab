// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/tokenizer_files.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/util/json_shape.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxFileBytes = 256u << 20;

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

absl::StatusOr<std::string> ReadFile(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  if (error) return absl::NotFoundError(absl::StrCat(path.string(), ": ", error.message()));
  if (size > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": ", size, " bytes are more than the limit of ", kMaxFileBytes));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return absl::NotFoundError(absl::StrCat(path.string(), ": cannot be read"));
  return std::move(text).str();
}

// An absent file is an empty object.
absl::StatusOr<Json> ReadObject(const fs::path& path) {
  if (!Exists(path)) return Json::object();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(Json object, ParseJson(text, path.string()));
  if (!object.is_object()) return absl::InvalidArgumentError(absl::StrCat(path.string(), ": not a JSON object"));
  return object;
}

std::string StringMember(const Json& object, const std::string& name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

absl::Status ReadTemplateFiles(const fs::path& folder, std::map<std::string, std::string>& templates) {
  if (Exists(folder / "chat_template.jinja")) {
    ASSIGN_OR_RETURN(templates["default"], ReadFile(folder / "chat_template.jinja"));
  }
  std::error_code absent;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder / "additional_chat_templates", absent)) {
    if (entry.path().extension() != ".jinja") continue;
    ASSIGN_OR_RETURN(templates[entry.path().stem().string()], ReadFile(entry.path()));
  }
  return absl::OkStatus();
}

absl::Status ReadConfigTemplates(const Json& tokenizer_config, std::map<std::string, std::string>& templates) {
  const Json chat_template = tokenizer_config.value("chat_template", Json());
  const absl::Status malformed = absl::InvalidArgumentError(
      "tokenizer_config.json: chat_template is neither a string, nor an object, nor a list of {name, template}");
  if (chat_template.is_null()) return absl::OkStatus();
  if (chat_template.is_string()) {
    templates["default"] = chat_template.get<std::string>();
    return absl::OkStatus();
  }
  if (chat_template.is_object()) {
    for (const auto& [name, source] : chat_template.items()) {
      if (!source.is_string()) return malformed;
      templates[name] = source.get<std::string>();
    }
    return absl::OkStatus();
  }
  if (!chat_template.is_array()) return malformed;
  for (const Json& entry : chat_template) {
    const std::string name = StringMember(entry, "name");
    if (!entry.is_object() || name.empty() || !entry.contains("template")) return malformed;
    templates[name] = StringMember(entry, "template");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerFiles> ReadTokenizerFiles(const fs::path& folder) {
  TokenizerFiles files;
  ASSIGN_OR_RETURN(files.tokenizer_json, ReadFile(folder / "tokenizer.json"));
  RETURN_IF_ERROR(CheckJsonDepth(files.tokenizer_json, (folder / "tokenizer.json").string()));
  ASSIGN_OR_RETURN(files.tokenizer_config, ReadObject(folder / "tokenizer_config.json"));
  ASSIGN_OR_RETURN(files.special_tokens_map, ReadObject(folder / "special_tokens_map.json"));
  ASSIGN_OR_RETURN(files.added_tokens, ReadObject(folder / "added_tokens.json"));
  ASSIGN_OR_RETURN(const Json model_config, ReadObject(folder / "config.json"));
  files.model_type = StringMember(model_config, "model_type");
  files.model_tokenizer_class = StringMember(model_config, "tokenizer_class");
  RETURN_IF_ERROR(ReadTemplateFiles(folder, files.chat_templates));
  if (files.chat_templates.empty()) {
    RETURN_IF_ERROR(ReadConfigTemplates(files.tokenizer_config, files.chat_templates));
  }
  return files;
}

}  // namespace prefscore
