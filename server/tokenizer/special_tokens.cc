// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/special_tokens.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::string_view kAttributes[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};

// A token and its flags, with the defaults of Python's AddedToken. A plain string in a configuration is special.
Json MakeToken(const std::string& content, const Json& fields, bool special) {
  special = fields.value("special", special);
  return {{"content", content},
          {"single_word", fields.value("single_word", false)},
          {"lstrip", fields.value("lstrip", false)},
          {"rstrip", fields.value("rstrip", false)},
          {"normalized", fields.value("normalized", !special)},
          {"special", special}};
}

// value: a string, or an object with "content". special: the flag where the object has none.
absl::StatusOr<Json> ParseToken(const Json& value, bool special, const std::string& what) {
  if (value.is_string()) return MakeToken(value.get<std::string>(), Json::object(), true);
  try {
    if (value.is_object()) return MakeToken(value.at("content").get<std::string>(), value, special);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", error.what()));
  }
  return absl::InvalidArgumentError(absl::StrCat(what, " is neither a string nor an added token"));
}

std::string Content(const Json& token) { return token["content"].get<std::string>(); }

// The merge of the four files, in the order in which transformers does it.
class Merge {
 public:
  Merge(const TokenizerFiles& files, const TokenizerClass& tokenizer_class)
      : files_(files), class_(tokenizer_class) {}

  absl::StatusOr<SpecialTokens> Run() {
    RETURN_IF_ERROR(ReadTokenizerJson());
    RETURN_IF_ERROR(ReadNamed(files_.tokenizer_config, "tokenizer_config.json", false));
    if (files_.tokenizer_config.contains("added_tokens_decoder")) {
      RETURN_IF_ERROR(ReadDecoder());
    } else {
      RETURN_IF_ERROR(ReadNamed(files_.special_tokens_map, "special_tokens_map.json", true));
      RETURN_IF_ERROR(ReadAddedTokens());
      for (const Json& token : file_tokens_) decoder_[token["id"].get<std::int64_t>()] = token;
    }
    ApplyDefaults();
    return Collect();
  }

 private:
  absl::Status ReadTokenizerJson() {
    ASSIGN_OR_RETURN(const Json added, ParseJsonMember(files_.tokenizer_json, "added_tokens", "tokenizer.json"));
    for (const Json& entry : added) {
      ASSIGN_OR_RETURN(Json token, ParseToken(entry, false, "tokenizer.json: added_tokens"));
      if (!entry.contains("id") || !entry["id"].is_number_integer()) {
        return absl::InvalidArgumentError("tokenizer.json: an entry of added_tokens has no id");
      }
      token["id"] = entry["id"];
      file_tokens_.push_back(std::move(token));
    }
    return absl::OkStatus();
  }

  absl::Status ReadNamed(const Json& file, const std::string& name, bool special) {
    for (const auto& [key, value] : file.items()) {
      const std::string what = absl::StrCat(name, ": ", key);
      if (key == "additional_special_tokens" && !file.value("extra_special_tokens", Json()).empty()) continue;
      if (key == "extra_special_tokens" || key == "additional_special_tokens") {
        RETURN_IF_ERROR(ReadExtra(value, what));
      } else if (std::find(std::begin(kAttributes), std::end(kAttributes), key) != std::end(kAttributes)) {
        named_[key] = Json();
        if (value.is_null()) continue;
        ASSIGN_OR_RETURN(named_[key], ParseToken(value, special, what));
        if (special) named_[key]["special"] = true;
      } else if (absl::EndsWith(key, "_token") && value.is_string()) {  // add_bos_token and the like are no strings
        ASSIGN_OR_RETURN(named_[key], ParseToken(value, special, what));
        model_specific_.push_back(key);
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadExtra(const Json& value, const std::string& what) {
    for (const auto& [key, entry] : value.items()) {
      ASSIGN_OR_RETURN(const Json token, ParseToken(entry, false, what));
      if (value.is_object()) {
        named_[key] = token;
        model_specific_.push_back(key);
      } else {
        extra_.push_back(token);
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadDecoder() {
    for (const auto& [key, value] : files_.tokenizer_config["added_tokens_decoder"].items()) {
      const std::string what = absl::StrCat("tokenizer_config.json: added_tokens_decoder[", key, "]");
      std::int64_t id = 0;
      if (!absl::SimpleAtoi(key, &id) || !value.is_object()) {
        return absl::InvalidArgumentError(absl::StrCat(what, ": not an id with an added token"));
      }
      ASSIGN_OR_RETURN(decoder_[id], ParseToken(value, false, what));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAddedTokens() {
    std::set<std::string> special;
    for (const auto& [key, token] : named_) {
      if (!token.is_null()) special.insert(Content(token));
    }
    for (const Json& token : extra_) special.insert(Content(token));
    for (const auto& [content, id] : files_.added_tokens.items()) {
      if (!id.is_number_integer()) {
        return absl::InvalidArgumentError(absl::StrCat("added_tokens.json: '", content, "' has no integer id"));
      }
      decoder_[id.get<std::int64_t>()] = MakeToken(content, Json::object(), special.count(content) > 0);
    }
    return absl::OkStatus();
  }

  void ApplyDefaults() {
    for (const auto& [name, content] : class_.default_special_tokens) {
      Json token;
      if (!content.empty()) token = MakeToken(std::string(content), Json::object(), true);
      named_.emplace(name, token);
    }
    const absl::StatusOr<Json> padding = ParseJsonMember(files_.tokenizer_json, "padding", "tokenizer.json");
    if (padding.ok() && padding->is_object() && padding->contains("pad_token")) {
      const absl::StatusOr<Json> token = ParseToken((*padding)["pad_token"], true, "tokenizer.json: padding");
      if (token.ok()) named_.emplace("pad_token", *token);
    }
    // A named token that the decoder knows has the decoder's flags.
    for (const auto& [id, known] : decoder_) {
      for (const std::string_view name : kAttributes) {
        const auto token = named_.find(std::string(name));
        if (token != named_.end() && !token->second.is_null() && token->second["content"] == known["content"]) {
          token->second = known;
        }
      }
    }
  }

  SpecialTokens Collect() const {
    SpecialTokens result;
    std::vector<Json> special_tokens;
    const auto name_token = [&](const std::string& name) {
      const auto token = named_.find(name);
      if (token == named_.end() || token->second.is_null()) return;
      result.named.emplace_back(name, Content(token->second));
      special_tokens.push_back(token->second);
    };
    for (const std::string_view name : kAttributes) name_token(std::string(name));
    for (const std::string& name : model_specific_) name_token(name);

    std::set<std::string> named_texts;
    for (const auto& [name, content] : result.named) named_texts.insert(content);
    std::set<std::string> present;  // texts that already are added tokens
    if (!class_.rebuild) {
      for (const Json& token : file_tokens_) present.insert(Content(token));
    }
    const auto add = [&](Json token) {
      if (named_texts.count(Content(token)) > 0) token["special"] = true;
      token.erase("id");
      present.insert(Content(token));
      result.to_add.push_back(std::move(token));
    };
    for (const auto& [id, token] : decoder_) add(token);
    special_tokens.insert(special_tokens.end(), extra_.begin(), extra_.end());
    for (const Json& token : special_tokens) {
      if (present.count(Content(token)) == 0) add(token);
    }
    if (class_.readds_special_tokens) {
      for (const Json& token : special_tokens) {
        result.to_add.push_back(MakeToken(Content(token), Json::object(), true));
      }
    }
    return result;
  }

  const TokenizerFiles& files_;
  const TokenizerClass& class_;
  std::vector<Json> file_tokens_;             // tokenizer.json's added_tokens, with "id"
  std::map<std::string, Json> named_;         // null: explicitly none
  std::vector<std::string> model_specific_;   // names beyond kAttributes, in order
  std::vector<Json> extra_;
  std::map<std::int64_t, Json> decoder_;      // by id
};

}  // namespace

absl::StatusOr<SpecialTokens> ResolveSpecialTokens(const TokenizerFiles& files,
                                                   const TokenizerClass& tokenizer_class) {
  return Merge(files, tokenizer_class).Run();
}

}  // namespace prefscore
