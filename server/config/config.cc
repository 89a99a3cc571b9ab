// SPDX-License-Identifier: Apache-2.0
#include "server/config/config.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "absl/strings/str_cat.h"
#include "server/config/toml_file.h"
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
    "  listen = \"127.0.0.1:50051\"";

void AddAllOptions(CLI::App& app, ServerConfig& config) {
  AddOptions(app, config.models);
  AddOptions(app, config.listen);
  AddOptions(app, config.access);
  AddOptions(app, config.transport);
  AddOptions(app, config.device);
  AddOptions(app, config.cache);
  AddOptions(app, config.shutdown);
  AddOptions(app, config.logging);
  AddOptions(app, config.limits);
}

absl::Status CheckAllOptions(ServerConfig& config) {
  RETURN_IF_ERROR(CheckOptions(config.models));
  RETURN_IF_ERROR(CheckOptions(config.listen));
  RETURN_IF_ERROR(CheckOptions(config.access, config.listen));
  RETURN_IF_ERROR(CheckOptions(config.transport, config.listen));
  RETURN_IF_ERROR(CheckOptions(config.device));
  RETURN_IF_ERROR(CheckOptions(config.cache));
  RETURN_IF_ERROR(CheckOptions(config.shutdown));
  RETURN_IF_ERROR(CheckOptions(config.logging));
  return CheckOptions(config.limits);
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv) {
  CommandLine result;
  CLI::App app(kDescription, "prefscore-server");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("prefscore-server ") + kVersion);
  app.config_formatter(std::make_shared<TomlFile>(app));
  app.set_config("--config", "", "Read flags from a TOML file; flags given on the command line win");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_flag("--check-config", result.check_only,
               "Check flags, file and the folders and files they name; serve nothing")
      ->configurable(false);
  AddAllOptions(app, result.config);
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
  RETURN_IF_ERROR(CheckAllOptions(result.config));
  app.get_option("--policy")->default_str(result.config.models.policy);
  app.get_option("--reference")->default_str(result.config.models.reference);
  result.effective = app.config_to_str();
  return result;
}

}  // namespace prefscore
