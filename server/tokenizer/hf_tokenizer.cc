// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <ctime>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/tokenizer/chat_variables.h"
#include "server/tokenizer/local_clock.h"
#include "server/tokenizer/rust_engine.h"
#include "server/tokenizer/special_tokens.h"
#include "server/tokenizer/tokenizer.h"
#include "server/tokenizer/tokenizer_class.h"
#include "server/tokenizer/tokenizer_files.h"
#include "server/util/sha256.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

absl::Status At(const std::string& where, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(where, ": ", std::string(status.message())));
}

std::string Sha256Hex(const std::string& text) {
  const Sha256Digest digest = Sha256(text);
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

// The file with the added tokens of the configuration, and the proof that the class would not have rebuilt it.
absl::StatusOr<RustTokenizer> LoadEngine(const TokenizerFiles& files, const TokenizerClass& tokenizer_class,
                                         const Json& tokens_to_add, std::string& identity) {
  Json changes = {
      {"add_tokens", tokens_to_add},
      {"split_special_tokens", files.tokenizer_config.value("split_special_tokens", Json()) == Json(true)},
      {"rebuild", nullptr},
  };
  absl::StatusOr<RustTokenizer> as_in_file = LoadRustTokenizer(files.tokenizer_json, changes.dump());
  if (!as_in_file.ok()) return At("tokenizer.json", as_in_file.status());
  ASSIGN_OR_RETURN(identity, TokenizerIdentity(**as_in_file));
  if (!tokenizer_class.rebuild) return as_in_file;

  changes["rebuild"] = *tokenizer_class.rebuild;
  const absl::StatusOr<RustTokenizer> rebuilt = LoadRustTokenizer(files.tokenizer_json, changes.dump());
  const absl::StatusOr<std::string> rebuilt_identity =
      rebuilt.ok() ? TokenizerIdentity(**rebuilt) : absl::StatusOr<std::string>(rebuilt.status());
  if (rebuilt_identity.ok() && *rebuilt_identity == identity) return as_in_file;
  return absl::FailedPreconditionError(absl::StrCat(
      "tokenizer.json: transformers would rebuild this tokenizer as its class ", std::string(tokenizer_class.name),
      " (model_type '", files.model_type, "'), with other ids than the file's: run "
      "AutoTokenizer.from_pretrained(dir).save_pretrained(dir), which writes the tokenizer that transformers uses"));
}

// A tokenizer that asks for the regular expression of later Mistral files must already have it: transformers would put
// it in.
absl::Status CheckMistralPattern(const TokenizerFiles& files, const std::string& identity) {
  if (files.tokenizer_config.value("fix_mistral_regex", Json()) != Json(true)) return absl::OkStatus();
  if (identity.find(R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll})") != std::string::npos) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "tokenizer.json: transformers would rebuild the pre-tokenizer (fix_mistral_regex in tokenizer_config.json): run "
      "AutoTokenizer.from_pretrained(dir).save_pretrained(dir)");
}

class HfTokenizer final : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::filesystem::path& folder,
                                                         TokenizerOptions options) {
    setenv("TOKENIZERS_PARALLELISM", "false", 1);  // our threads are the parallelism
    ASSIGN_OR_RETURN(const TokenizerFiles files, ReadTokenizerFiles(folder));
    ASSIGN_OR_RETURN(const TokenizerClass tokenizer_class, ResolveTokenizerClass(files));
    ASSIGN_OR_RETURN(SpecialTokens special_tokens, ResolveSpecialTokens(files, tokenizer_class));
    auto tokenizer = std::make_unique<HfTokenizer>();
    tokenizer->options_ = std::move(options);
    std::string identity;
    ASSIGN_OR_RETURN(tokenizer->engine_, LoadEngine(files, tokenizer_class, special_tokens.to_add, identity));
    RETURN_IF_ERROR(CheckMistralPattern(files, identity));
    tokenizer->SetSpecialTokens(std::move(special_tokens.named));
    for (const auto& [name, source] : files.chat_templates) {
      absl::StatusOr<RustTemplate> chat_template = CompileTemplate(source);
      if (!chat_template.ok()) return At(absl::StrCat("chat template '", name, "'"), chat_template.status());
      tokenizer->chat_templates_[name] = *std::move(chat_template);
    }
    RETURN_IF_ERROR(tokenizer->RenderSamples());
    tokenizer->SetFingerprint(identity, files.chat_templates);
    return tokenizer;
  }

  absl::StatusOr<TokenIds> Encode(const std::string& text, bool add_special_tokens) const override {
    if (text.size() > options_.max_text_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("text has ", text.size(), " bytes, the limit is ", options_.max_text_bytes));
    }
    return EncodeText(*engine_, text, add_special_tokens);
  }

  absl::StatusOr<RenderedChat> RenderChat(const ChatTemplateInput& input) const override {
    if (chat_templates_.empty()) {
      return absl::FailedPreconditionError("the model's folder has no chat template: send text or token ids");
    }
    const std::size_t input_bytes = input.messages_json.size() + input.tools_json.size() + input.kwargs_json.size();
    if (input_bytes > options_.max_text_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("conversation has ", input_bytes, " bytes of JSON, the limit is ", options_.max_text_bytes));
    }
    ASSIGN_OR_RETURN(const ChatVariables chat, MakeChatVariables(input, special_tokens_));
    auto chosen = chat_templates_.find("tool_use");
    if (!chat.has_tools || chosen == chat_templates_.end()) chosen = chat_templates_.find("default");
    if (chosen == chat_templates_.end()) {
      return absl::FailedPreconditionError("the model's folder has several chat templates, but none named 'default'");
    }
    return Render(chosen->first, *chosen->second, chat.variables.dump());
  }

  bool has_chat_template() const override { return !chat_templates_.empty(); }
  const std::string& eos_token() const override { return eos_token_; }
  std::int64_t vocab_size() const override { return prefscore_tokenizer_vocab_size(engine_.get()); }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  // named: those of the configuration. The padding token defaults to EOS, as TRL's trainer sets it.
  void SetSpecialTokens(std::vector<std::pair<std::string, std::string>> named) {
    bool has_padding = false;
    for (const auto& [name, text] : named) {
      if (name == "eos_token") eos_token_ = text;
      has_padding = has_padding || name == "pad_token";
    }
    special_tokens_ = std::move(named);
    if (!has_padding && !eos_token_.empty()) special_tokens_.emplace_back("pad_token", eos_token_);
  }

  // Each template once with and once without a generation prompt. A template may refuse the sample, but not need what
  // the engine does not have.
  absl::Status RenderSamples() const {
    for (const bool add_generation_prompt : {true, false}) {
      ChatTemplateInput sample;
      sample.messages_json = add_generation_prompt
                                 ? R"([{"role":"user","content":"a"}])"
                                 : R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])";
      sample.add_generation_prompt = add_generation_prompt;
      ASSIGN_OR_RETURN(const ChatVariables chat, MakeChatVariables(sample, special_tokens_));
      for (const auto& [name, chat_template] : chat_templates_) {
        const absl::Status status = Render(name, *chat_template, chat.variables.dump()).status();
        if (!status.ok() && status.code() != absl::StatusCode::kInvalidArgument) {
          return absl::InvalidArgumentError(std::string(status.message()));
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<RenderedChat> Render(const std::string& name, const prefscore_template& chat_template,
                                      const std::string& variables) const {
    LocalClock clock(options_.unix_time_now ? options_.unix_time_now() : std::time(nullptr));
    absl::StatusOr<std::string> text = RenderTemplate(chat_template, variables, &LocalClock::Format, &clock);
    if (!text.ok()) return At(absl::StrCat("chat template '", name, "'"), text.status());
    return RenderedChat{*std::move(text), clock.printed_date()};
  }

  void SetFingerprint(const std::string& identity, const std::map<std::string, std::string>& templates) {
    const Json parts = {{"engines", PREFSCORE_TOKENIZER_ENGINES},  // from Cargo.toml
                        {"tokenizer", Sha256Hex(identity)},
                        {"special_tokens", special_tokens_},
                        {"chat_templates", templates}};
    fingerprint_ = Sha256Hex(parts.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  TokenizerOptions options_;
  RustTokenizer engine_;
  std::map<std::string, RustTemplate> chat_templates_;
  std::vector<std::pair<std::string, std::string>> special_tokens_;  // "eos_token" → text; those that are set
  std::string eos_token_;
  std::string fingerprint_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::filesystem::path& folder,
                                                           TokenizerOptions options) {
  return HfTokenizer::Load(folder, std::move(options));
}

}  // namespace prefscore
