// SPDX-License-Identifier: Apache-2.0
#include "server/config/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/cache/disk_store.h"
#include "server/util/device_name.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr char kDescription[] =
    "prefscore-server scores preference pairs under a policy and a reference language model, over gRPC.\n"
    "Example: prefscore-server --model policy=models/dpo --model reference=models/sft";

constexpr char kFooter[] =
    "A model folder is what Hugging Face's save_pretrained writes: config.json, model.safetensors (or shards with an\n"
    "index) and tokenizer.json. Without tokenizer.json the model accepts token ids only.\n"
    "\n"
    "A configuration file (TOML) takes the flags' names without dashes:\n"
    "  model = [\"policy=models/dpo\", \"reference=models/sft\"]\n"
    "  listen = \"0.0.0.0:50051\"";

constexpr double kMaxShutdownGraceSeconds = 3600;
constexpr std::int64_t kMaxInt32 = std::numeric_limits<std::int32_t>::max();

constexpr std::int64_t kMaxCacheBytes = std::int64_t{1} << 50;

// A folder of the user's cache, as the XDG base directory specification has it; empty where there is no home.
std::string DefaultCacheDir() {
  const char* cache_home = std::getenv("XDG_CACHE_HOME");
  if (cache_home != nullptr && cache_home[0] == '/') return absl::StrCat(cache_home, "/prefscore");
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] == '/' ? absl::StrCat(home, "/.cache/prefscore") : "";
}

struct LimitFlag {
  const char* flag;
  std::int64_t Limits::* field;
  std::int64_t max;
  const char* help;
};

constexpr LimitFlag kLimitFlags[] = {
    {"--max-pairs-per-request", &Limits::max_pairs_per_request, 1 << 20, "Pairs (or prompts) in one unary request"},
    {"--max-completions-per-prompt", &Limits::max_completions_per_prompt, 1 << 16, "Completions of one prompt"},
    {"--max-objectives", &Limits::max_objectives, 1 << 16, "Objectives in one request"},
    {"--max-message-bytes", &Limits::max_message_bytes, kMaxInt32, "Size of one message, bytes"},
    {"--max-text-bytes", &Limits::max_text_bytes, kMaxInt32, "Text of one prompt or completion, bytes"},
    {"--max-queued-tokens", &Limits::max_queued_tokens, std::int64_t{1} << 40,
     "Tokens waiting to be scored; calls beyond are refused until there is room"},
    {"--max-queued-bytes", &Limits::max_queued_bytes, std::int64_t{1} << 40,
     "Memory of what waits to be scored, bytes; calls beyond are refused until there is room"},
    {"--max-stream-in-flight", &Limits::max_stream_in_flight, 1 << 16,
     "Pairs of one stream that are held before reading pauses"},
    {"--max-batch-tokens", &Limits::max_batch_tokens, 1 << 24, "Tokens of one batch; a longer group is its own batch"},
    {"--max-batch-bytes", &Limits::max_batch_bytes, std::int64_t{1} << 40,
     "Estimated memory of one batch while it is computed, bytes"},
    {"--max-batch-ms", &Limits::max_batch_ms, 3'600'000,
     "Predicted time of one batch, milliseconds: how long interactive work may wait for the one in flight"},
};

// The flags as they are typed; ServerConfig is what they mean.
struct RawFlags {
  std::vector<std::string> models;
  double shutdown_grace_seconds = 30;
};

void AddFlags(CLI::App& app, ServerConfig& config, RawFlags& raw) {
  config.cache_dir = DefaultCacheDir();
  app.set_version_flag("--version", std::string("prefscore-server ") + kVersion);
  app.set_config("--config", "", "Read flags from a TOML file; flags given on the command line win");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.footer(kFooter);

  app.add_option("--model", raw.models, "A model to host: its name in requests and its folder. Repeatable")
      ->type_name("NAME=DIR");
  app.option_defaults()->always_capture_default();  // the help shows the defaults of all that follow
  app.add_option("--policy", config.policy, "The policy where a request names none (default: the model named policy)")
      ->type_name("NAME");
  app.add_option("--reference", config.reference,
                 "The reference where a request names none (default: the model named reference)")
      ->type_name("NAME");
  app.add_option("--listen", config.listen, "Where gRPC is served; port 0 takes a free one")->type_name("HOST:PORT");
  app.add_option("--metrics-listen", config.metrics_listen,
                 "Where /metrics is served over HTTP; port 0 takes a free one, \"\" serves none")
      ->type_name("HOST:PORT");
  app.add_option("--device", config.device,
                 "Where models run: cpu, cuda:N, or auto, which is cuda:0 where there is one, else cpu")
      ->type_name("DEVICE");
  app.add_option("--dtype", config.dtype, "Type of the weights in the forward pass: float32 or bfloat16")
      ->type_name("DTYPE");
  app.add_option("--threads", config.num_threads, "Threads of one forward pass; 0: one per core")->type_name("N");
  app.add_option("--cache-dir", config.cache_dir,
                 "Folder of the cache of log-probs, one server's at a time; \"\": no cache")
      ->type_name("DIR");
  app.add_option("--cache-max-bytes", config.cache_max_bytes,
                 "Size of the cache on disk, bytes; the oldest log-probs leave first")
      ->type_name("N");
  app.add_option("--shutdown-grace", raw.shutdown_grace_seconds,
                 "How long a shutdown waits for admitted work, seconds; then it is cancelled, but for the batch in flight")
      ->type_name("SECONDS");
  for (const LimitFlag& limit : kLimitFlags) {
    app.add_option(limit.flag, config.limits.*limit.field, limit.help)->group("Limits")->type_name("N");
  }
}

absl::Status FlagError(const std::string& flag, const std::string& description) {
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", description));
}

absl::Status CheckOneOf(const std::string& flag, const std::string& value, std::initializer_list<const char*> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return absl::OkStatus();
  std::string list;
  for (const char* name : known) absl::StrAppend(&list, list.empty() ? "" : ", ", name);
  return FlagError(flag, absl::StrCat("'", value, "' is not one of: ", list));
}

absl::Status CheckDevice(const std::string& device) {
  if (device == "auto" || device == "cpu" || CudaIndexOf(device)) return absl::OkStatus();
  return FlagError("--device", absl::StrCat("'", device, "' is not one of: auto, cpu, cuda:N"));
}

template <typename Number>
absl::Status CheckRange(const std::string& flag, Number value, Number min, Number max) {
  if (value >= min && value <= max) return absl::OkStatus();  // false for NaN
  return FlagError(flag, absl::StrCat(value, " is outside [", min, ", ", max, "]"));
}

absl::Status CheckAddress(const std::string& flag, const std::string& address) {
  const std::size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return FlagError(flag, absl::StrCat("'", address, "' is not HOST:PORT with a port in [0, 65535]"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ModelFolder>> ParseModels(const std::vector<std::string>& values) {
  std::vector<ModelFolder> models;
  std::set<std::string> names;
  for (const std::string& value : values) {
    const std::size_t equals = value.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == value.size()) {
      return FlagError("--model", absl::StrCat("'", value, "' is not NAME=DIR"));
    }
    const std::string name = value.substr(0, equals);
    if (!names.insert(name).second) return FlagError("--model", absl::StrCat("the name '", name, "' is used twice"));
    models.push_back({name, value.substr(equals + 1)});
  }
  if (models.empty()) {
    return FlagError("--model", "no model is configured; at least 1 is needed, as in --model policy=DIR");
  }
  return models;
}

// Which model plays `role` by default: the one that its flag names, else the one of the role's own name.
absl::Status ResolveRole(const std::string& role, const std::vector<ModelFolder>& models, std::string& name) {
  const bool is_given = !name.empty();
  if (!is_given) name = role;
  std::string known;
  for (const ModelFolder& model : models) {
    if (model.name == name) return absl::OkStatus();
    absl::StrAppend(&known, known.empty() ? "" : ", ", model.name);
  }
  if (is_given) return FlagError("--" + role, absl::StrCat("no --model is named '", name, "'; named: ", known));
  return FlagError("--" + role,
                   absl::StrCat("no --model is named '", role, "', so --", role, " must name one of: ", known));
}

absl::Status Validate(const RawFlags& raw, ServerConfig& config) {
  ASSIGN_OR_RETURN(config.models, ParseModels(raw.models));
  RETURN_IF_ERROR(ResolveRole("policy", config.models, config.policy));
  RETURN_IF_ERROR(ResolveRole("reference", config.models, config.reference));
  RETURN_IF_ERROR(CheckAddress("--listen", config.listen));
  if (!config.metrics_listen.empty()) RETURN_IF_ERROR(CheckAddress("--metrics-listen", config.metrics_listen));
  RETURN_IF_ERROR(CheckDevice(config.device));
  RETURN_IF_ERROR(CheckOneOf("--dtype", config.dtype, {"float32", "bfloat16"}));
  RETURN_IF_ERROR(CheckRange("--threads", config.num_threads, 0, 1024));
  RETURN_IF_ERROR(CheckRange("--shutdown-grace", raw.shutdown_grace_seconds, 0.0, kMaxShutdownGraceSeconds));
  RETURN_IF_ERROR(CheckRange("--cache-max-bytes", config.cache_max_bytes, kMinStoreBytes, kMaxCacheBytes));
  config.shutdown_grace = absl::Seconds(raw.shutdown_grace_seconds);
  for (const LimitFlag& limit : kLimitFlags) {
    RETURN_IF_ERROR(CheckRange(limit.flag, config.limits.*limit.field, std::int64_t{1}, limit.max));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  CommandLine result;
  RawFlags raw;
  CLI::App app(kDescription, "prefscore-server");
  AddFlags(app, result.config, raw);
  try {
    app.parse(argc, const_cast<char**>(argv));
  } catch (const CLI::CallForHelp&) {
    result.text = app.help();
    return result;
  } catch (const CLI::CallForVersion& version) {
    result.text = absl::StrCat(version.what(), "\n");
    return result;
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(error.what());
  }
  RETURN_IF_ERROR(Validate(raw, result.config));
  app.get_option("--policy")->default_str(result.config.policy);
  app.get_option("--reference")->default_str(result.config.reference);
  result.effective = app.config_to_str(/*default_also=*/true, /*write_description=*/false);
  return result;
}

}  // namespace prefscore
