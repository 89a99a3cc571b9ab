// SPDX-License-Identifier: Apache-2.0
#include "server/tokenizer/tokenizer_class.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

using SpecialTokenDefaults = std::vector<std::pair<std::string_view, std::string_view>>;

// Model types whose registered class rebuilds the tokenizer. All others that a language model has are registered with
// the class that uses the file as it is, or not at all.
struct ModelTypeRow {
  std::string_view model_type;
  std::string_view tokenizer_class;
};
constexpr ModelTypeRow kRegisteredClasses[] = {
    {"code_llama", "CodeLlamaTokenizer"},
    {"codegen", "GPT2Tokenizer"},      {"dbrx", "GPT2Tokenizer"},           {"emu3", "GPT2Tokenizer"},
    {"gpt2", "GPT2Tokenizer"},         {"gpt_neo", "GPT2Tokenizer"},        {"gptj", "GPT2Tokenizer"},
    {"hyperclovax_vision_v2", "GPT2Tokenizer"},                             {"jais2", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},          {"phi", "GPT2Tokenizer"},            {"starcoder2", "GPT2Tokenizer"},
    {"dots3_note", "Qwen2Tokenizer"},  {"qwen2", "Qwen2Tokenizer"},         {"qwen2_5_omni", "Qwen2Tokenizer"},
    {"qwen2_5_vl", "Qwen2Tokenizer"},  {"qwen2_audio", "Qwen2Tokenizer"},   {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen2_vl", "Qwen2Tokenizer"},    {"qwen3", "Qwen2Tokenizer"},         {"qwen3_asr", "Qwen2Tokenizer"},
    {"qwen3_moe", "Qwen2Tokenizer"},   {"qwen3_next", "Qwen2Tokenizer"},    {"qwen3_omni_moe", "Qwen2Tokenizer"},
    {"qwen3_vl", "Qwen2Tokenizer"},    {"qwen3_vl_moe", "Qwen2Tokenizer"},
    {"qwen3_5", "Qwen3_5Tokenizer"},   {"qwen3_5_moe", "Qwen3_5Tokenizer"}, {"qwen3_5_moe_text", "Qwen3_5Tokenizer"},
    {"qwen3_5_text", "Qwen3_5Tokenizer"},                                   {"qwen4_exp", "Qwen3_5Tokenizer"},
    {"gemma", "GemmaTokenizer"},       {"gemma2", "GemmaTokenizer"},        {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"}, {"gemma3n", "GemmaTokenizer"},       {"gemma3n_text", "GemmaTokenizer"},
    {"recurrent_gemma", "GemmaTokenizer"},                                  {"zaya", "GemmaTokenizer"},
    {"falcon_mamba", "GPTNeoXTokenizer"},                                   {"gpt_neox", "GPTNeoXTokenizer"},
    {"mamba", "GPTNeoXTokenizer"},     {"mamba2", "GPTNeoXTokenizer"},      {"mpt", "GPTNeoXTokenizer"},
    {"olmo", "GPTNeoXTokenizer"},      {"olmoe", "GPTNeoXTokenizer"},       {"rwkv", "GPTNeoXTokenizer"},
    {"xlstm", "GPTNeoXTokenizer"},     {"cohere", "CohereTokenizer"},       {"cohere2", "CohereTokenizer"},
};

// Model types registered with a class that uses the file as it is, whatever class the folder names.
constexpr std::string_view kRegisteredAsInFile[] = {
    "arctic",     "chatlm",    "ernie4_5",    "ernie4_5_moe",  "flex_olmo",  "glm",         "glm4",        "glm4_moe",
    "gpt_bigcode", "granite",  "granitemoe",  "granitemoehybrid", "granitemoeshared", "hyperclovax", "internlm2",
    "internlm3",  "iquestcoder", "jamba",     "kimi_linear",   "mimo_v2_flash", "minicpm3", "minimax_m2",  "ministral",
    "ministral3", "mistral",   "mistral3",    "mixtral",       "molmo",      "molmo2",      "nemotron",    "olmo2",
    "olmo3",      "olmo_hybrid", "persimmon", "phi3",          "phi3_v",     "phimoe",      "smolvlm",     "stablelm",
};

// Model types whose folders are known to name a wrong class: the registered class wins.
constexpr std::string_view kNamedClassIgnored[] = {
    "hyperclovax_vision_v2", "qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen4_exp",
};

constexpr std::string_view kClassesAsInFile[] = {
    "", "TokenizersBackend", "PreTrainedTokenizer", "PreTrainedTokenizerFast", "PythonBackend", "BloomTokenizer",
    "BloomTokenizerFast",
};

constexpr char kQwen2Pattern[] =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

template <typename Range>
bool Contains(const Range& range, std::string_view value) {
  return std::find(std::begin(range), std::end(range), value) != std::end(range);
}

std::string_view WithoutFast(std::string_view name) {
  if (name.size() >= 4 && name.substr(name.size() - 4) == "Fast") name.remove_suffix(4);
  return name;
}

// The class registered for a model type; empty: the one that uses the file as it is; absent: none.
std::optional<std::string_view> RegisteredClass(std::string_view model_type) {
  for (const ModelTypeRow& row : kRegisteredClasses) {
    if (row.model_type == model_type) return row.tokenizer_class;
  }
  if (Contains(kRegisteredAsInFile, model_type)) return "";
  return std::nullopt;
}

// AutoTokenizer's choice; empty: the class that uses the file as it is.
std::string ClassName(const TokenizerFiles& files) {
  std::string named = files.model_tokenizer_class;
  if (const Json in_config = files.tokenizer_config.value("tokenizer_class", Json()); in_config.is_string()) {
    named = in_config.get<std::string>();
  }
  const std::optional<std::string_view> registered = RegisteredClass(files.model_type);
  if (named.empty()) return std::string(registered.value_or(""));
  const bool use_registered = registered.has_value() && WithoutFast(*registered) != WithoutFast(named);
  if (use_registered && registered->empty()) return "";
  if (use_registered && Contains(kNamedClassIgnored, files.model_type)) return std::string(*registered);
  if (WithoutFast(named) == "LlamaTokenizer" && files.tokenizer_json.find("\"ByteLevel\"") != std::string::npos) {
    return "";
  }
  return Contains(kClassesAsInFile, named) ? "" : std::string(WithoutFast(named));
}

Json BpeModel(bool fuse_unk, bool byte_fallback, const Json& unk_token = Json()) {
  return {{"type", "BPE"},         {"dropout", nullptr},   {"unk_token", unk_token},
          {"continuing_subword_prefix", nullptr},          {"end_of_word_suffix", nullptr},
          {"fuse_unk", fuse_unk},  {"byte_fallback", byte_fallback}, {"ignore_merges", false}};
}

Json ByteLevel(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json Rebuild(Json model, Json normalizer, Json pre_tokenizer, bool drop_post_processor = false) {
  return {{"model", std::move(model)},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"drop_post_processor", drop_post_processor}};
}

TokenizerClass LlamaClass(const Json& config) {
  const bool prefix_space = config.value("add_prefix_space", Json()) != Json(false);
  const bool legacy = config.value("legacy", Json()) == Json(true);
  const Json metaspace = {{"type", "Metaspace"},
                          {"replacement", "▁"},
                          {"prepend_scheme", !prefix_space ? "never" : legacy ? "always" : "first"},
                          {"split", false}};
  return {.name = "LlamaTokenizer",
          .rebuild = Rebuild(BpeModel(true, true), nullptr, metaspace),
          .default_special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}}};
}

TokenizerClass Gpt2Class(std::string_view name, const Json& config) {
  const bool prefix_space = config.value("add_prefix_space", Json()) == Json(true);
  return {.name = name,
          .rebuild = Rebuild(BpeModel(false, false), nullptr, ByteLevel(prefix_space, true),
                             /*drop_post_processor=*/name == "CodeGenTokenizer"),
          .default_special_tokens = {{"bos_token", "<|endoftext|>"},
                                     {"eos_token", "<|endoftext|>"},
                                     {"unk_token", "<|endoftext|>"},
                                     {"pad_token", ""}}};
}

TokenizerClass Qwen2Class(const Json& config) {
  const bool prefix_space = config.value("add_prefix_space", Json()) == Json(true);
  const Json split = {
      {"type", "Split"}, {"pattern", {{"Regex", kQwen2Pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  const Json sequence = {{"type", "Sequence"}, {"pretokenizers", Json::array({split, ByteLevel(prefix_space, false)})}};
  return {.name = "Qwen2Tokenizer",
          .rebuild = Rebuild(BpeModel(false, false), {{"type", "NFC"}}, sequence),
          .default_special_tokens = {{"bos_token", ""},
                                     {"eos_token", "<|endoftext|>"},
                                     {"unk_token", "<|endoftext|>"},
                                     {"pad_token", "<|endoftext|>"}},
          .readds_special_tokens = true};
}

TokenizerClass GemmaClass(const Json& config) {
  const Json unk_token = config.value("unk_token", Json("<unk>"));
  const Json space = {{"String", " "}};
  return {.name = "GemmaTokenizer",
          .rebuild = Rebuild(BpeModel(true, true, unk_token.is_string() ? unk_token : Json("<unk>")),
                             {{"type", "Replace"}, {"pattern", space}, {"content", "▁"}},
                             {{"type", "Split"}, {"pattern", space}, {"behavior", "MergedWithPrevious"},
                              {"invert", false}}),
          .default_special_tokens = {{"bos_token", "<bos>"},
                                     {"eos_token", "<eos>"},
                                     {"unk_token", "<unk>"},
                                     {"pad_token", "<pad>"},
                                     {"mask_token", "<mask>"}}};
}

TokenizerClass GptNeoXClass(const Json& config) {
  const bool prefix_space = config.value("add_prefix_space", Json()) == Json(true);
  return {.name = "GPTNeoXTokenizer",
          .rebuild = Rebuild(BpeModel(false, false), {{"type", "NFC"}}, ByteLevel(prefix_space, true), true),
          .default_special_tokens = {{"bos_token", "<|endoftext|>"},
                                     {"eos_token", "<|endoftext|>"},
                                     {"unk_token", "<|endoftext|>"},
                                     {"pad_token", "<|padding|>"}}};
}

}  // namespace

absl::StatusOr<TokenizerClass> ResolveTokenizerClass(const TokenizerFiles& files) {
  const Json& config = files.tokenizer_config;
  if (config.contains("auto_map")) {
    return absl::FailedPreconditionError(
        "tokenizer_config.json: auto_map asks for code of the folder's own, which is not run; save the tokenizer with "
        "\"tokenizer_class\": \"TokenizersBackend\" and without auto_map");
  }
  const std::string name = ClassName(files);
  if (name.empty()) return TokenizerClass{};
  if (name == "LlamaTokenizer") return LlamaClass(config);
  if (name == "GPT2Tokenizer") return Gpt2Class("GPT2Tokenizer", config);
  if (name == "CodeGenTokenizer") return Gpt2Class("CodeGenTokenizer", config);
  if (name == "Qwen2Tokenizer") return Qwen2Class(config);
  if (name == "GemmaTokenizer") return GemmaClass(config);
  if (name == "GPTNeoXTokenizer") return GptNeoXClass(config);
  return absl::FailedPreconditionError(absl::StrCat(
      "tokenizer class '", name, "' (model_type '", files.model_type,
      "') is not known here, and transformers may rebuild the tokenizer: run "
      "AutoTokenizer.from_pretrained(dir).save_pretrained(dir), then set \"tokenizer_class\" in "
      "tokenizer_config.json to \"TokenizersBackend\""));
}

}  // namespace prefscore
