// SPDX-License-Identifier: Apache-2.0
// The command line: flags into options, one subcommand each.
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "client/cli/admin_command.h"
#include "client/cli/analyze_command.h"
#include "client/cli/completions_command.h"
#include "client/cli/evaluate_command.h"
#include "client/cli/health_command.h"
#include "client/cli/models_command.h"
#include "client/cli/objective_flag.h"
#include "client/cli/objectives_command.h"
#include "client/cli/score_command.h"
#include "client/cli/sweep_flag.h"
#include "client/cli/token_command.h"
#include "client/cli/top/top_flags.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kDefaultTableRows = 20;
constexpr char kDefaultObjective[] = "sigmoid:beta=0.1";  // as in TRL

constexpr char kDescription[] =
    "Scores preference pairs under a policy and a reference language model on a prefscore server.\n\n"
    "  prefscore health --server localhost:50051\n"
    "  prefscore models --server localhost:50051\n"
    "  prefscore score --server localhost:50051 --input pairs.jsonl --output scores.jsonl\n"
    "  prefscore top --metrics localhost:9464\n\n"
    "`prefscore SUBCOMMAND --help` tells more.";

constexpr char kExitCodes[] =
    "Exit codes: 0 all done (health: serving), 1 the run failed (health: not serving), 2 wrong usage,\n"
    "3 the run is complete but some rows failed; the output holds their errors.";

constexpr char kScoreDescription[] =
    "Scores a file of preference pairs: one result per row, in the order of the input.\n\n"
    "Example:\n"
    "  prefscore score --server localhost:50051 --input pairs.jsonl --output scores.jsonl \\\n"
    "      --objective sigmoid:beta=0.1 --objective sigmoid:beta=0.1,gamma=0.05 --table 10\n\n"
    "An input row is a JSON object on one line:\n"
    "  {\"id\": \"a\", \"prompt\": \"2 + 2 =\", \"chosen\": \" 4\", \"rejected\": \" 5\"}\n"
    "prompt, chosen and rejected are strings, lists of chat messages or lists of token ids. Without a prompt it is\n"
    "the common start of chosen and rejected, as in TRL. Optional: id, tools, chat_template_kwargs, and log-probs\n"
    "that are known already (reference_chosen_logp ..., or TRL's ref_chosen_logps and ref_rejected_logps).\n\n"
    "An interrupted run goes on where it stopped: rows that the output holds are kept, if they were made with\n"
    "the same options and models (OUTPUT.run.json remembers them) and have the same ids.\n"
    "Failed rows are kept too; score them again with --overwrite.";

constexpr char kEvaluateDescription[] =
    "Evaluates objectives of pairs whose log-probs are known; runs no model.\n\n"
    "Example:\n"
    "  prefscore evaluate --input scores.jsonl --output losses.jsonl --objective ipo:beta=0.1 --objective simpo\n\n"
    "An input row is a JSON object on one line, such as `prefscore score` writes:\n"
    "  {\"policy_chosen_logp\": -12.5, \"policy_rejected_logp\": -14, \"reference_chosen_logp\": -13,\n"
    "   \"reference_rejected_logp\": -13.5, \"num_chosen_tokens\": 9, \"num_rejected_tokens\": 7}\n"
    "Only what the objectives need must be there: `prefscore objectives` tells what that is. Also read: id, "
    "score_gap,\n"
    "labels, token_logps, and TRL's ref_chosen_logps and ref_rejected_logps.\n"
    "Without --server it runs in this process, with the code that a server runs.";

constexpr char kAnalyzeDescription[] =
    "Reports what a file of pairs teaches: learning tables, sweeps over beta and gamma, the pairs to look at.\n\n"
    "Example:\n"
    "  prefscore analyze --input scores.jsonl --label category --html report.html --json report.json\n\n"
    "Rows with log-probs (what `prefscore score` writes, or a table like that of `prefscore evaluate`) need no "
    "server.\n"
    "Rows of pairs (the input of `prefscore score`) are scored on the way by the --server.\n"
    "The report is the same whatever the order of the rows. A faulty row ends the run with its line, unless\n"
    "--skip-faulty is given; then it is counted and listed.";

constexpr char kSweepHelp[] =
    "Grid: beta=LIST,gamma_over_beta=LIST; a LIST is numbers and ranges FROM:TO:COUNT[:log] joined by /. "
    "Example: beta=0.05/0.1/0.5,gamma_over_beta=0/0.1:100:10:log. none: no sweep. Default: 10 x 10 points";

constexpr char kObjectivesDescription[] =
    "Lists all objectives with formulas, parameters, defaults and sources.\n\nExample:\n  prefscore objectives";

constexpr char kObjectiveHelp[] =
    "[WEIGHT*]NAME[:PARAMETER=VALUE,...][+...], repeatable; see `prefscore objectives` for names and parameters. "
    "Examples: sigmoid:beta=0.1,gamma=0.05 or 0.8*sigmoid+0.2*bco_pair+sft";

constexpr char kCompletionsDescription[] =
    "Log-probabilities of the completions of each prompt.\n\n"
    "Example:\n"
    "  prefscore completions --server localhost:50051 --model policy --input prompts.jsonl --output -\n\n"
    "An input row is a JSON object on one line:\n"
    "  {\"id\": \"a\", \"prompt\": \"2 + 2 =\", \"completions\": [\" 4\", \" 5\", \" four\"]}";

constexpr char kModelsDescription[] =
    "Shows the hosted models and the server's limits.\n\nExample:\n  prefscore models --server localhost:50051 "
    "--json";

constexpr char kHealthDescription[] =
    "Tells whether the server serves.\n\nExample:\n"
    "  prefscore health --server localhost:50051 --service prefscore.v1.ScoringService";

constexpr char kAdminDescription[] =
    "Asks a server's admin listener: status, log-level, reload-tokens.\n\nExample:\n"
    "  prefscore admin status --server localhost:50052 --token-file admin.token";

constexpr char kTokenDescription[] = "Makes tokens, for servers that let in only who has one.";

constexpr char kNewTokenDescription[] =
    "Makes a random token. Its entry for the server's token file goes to standard output; the token itself is shown on\n"
    "standard error, once, or written to --output.\n\n"
    "Example:\n"
    "  prefscore token new --name trainer --role score --output trainer.token >> tokens.toml\n\n"
    "Expiry and quotas are added to the entry by hand: deploy/SECURITY.md.";

const std::map<std::string, Role> kRoles = {
    {"score", Role::kScore}, {"admin", Role::kAdmin}, {"metrics", Role::kMetrics}};

const std::map<std::string, v1::TruncationPolicy> kTruncationPolicies = {
    {"error", v1::TRUNCATION_POLICY_ERROR},
    {"keep-start", v1::TRUNCATION_POLICY_KEEP_START},
    {"keep-prompt-end", v1::TRUNCATION_POLICY_KEEP_PROMPT_END}};
const std::map<std::string, v1::Priority> kPriorities = {{"interactive", v1::PRIORITY_INTERACTIVE},
                                                         {"bulk", v1::PRIORITY_BULK}};

const std::map<std::string, v1::CacheMode> kCacheModes = {{"read-write", v1::CACHE_MODE_READ_WRITE},
                                                          {"bypass", v1::CACHE_MODE_BYPASS},
                                                          {"refresh", v1::CACHE_MODE_REFRESH},
                                                          {"read-only", v1::CACHE_MODE_READ_ONLY}};

// In the list of subcommands, the first line of each one's description is enough.
class OverviewFormatter : public CLI::Formatter {
  std::string make_subcommand(const CLI::App* command) const override {
    const std::string& description = command->get_description();
    std::ostringstream line;
    CLI::detail::format_help(line, command->get_name(), description.substr(0, description.find('\n')),
                             get_column_width());
    return line.str();
  }
};

void AddServerFlags(CLI::App& app, ServerOptions& server, double default_timeout_seconds, const std::string& of_what) {
  server.timeout = absl::Seconds(default_timeout_seconds);
  app.add_option("--server", server.address, "HOST:PORT of the server");
  app.add_flag("--tls", server.has_tls, "Talk TLS, with a server whom this machine trusts")->group("Security");
  const auto add_file = [&app](const char* flag, std::string& path, const char* help) {
    return app.add_option(flag, path, help)->check(CLI::ExistingFile)->type_name("FILE")->group("Security");
  };
  add_file("--tls-ca", server.tls_ca, "Talk TLS, with a server whom the authorities of this PEM file have certified");
  CLI::Option* certificate =
      add_file("--tls-certificate", server.tls_certificate, "This client's certificate, where the server asks for one");
  CLI::Option* key = add_file("--tls-key", server.tls_key, "The key of --tls-certificate");
  certificate->needs(key);
  key->needs(certificate);
  add_file("--token-file", server.token_file, "Holds the token that is sent with each call");
  app.add_option_function<double>(
         "--timeout", [&server](const double& seconds) { server.timeout = absl::Seconds(seconds); },
         "Seconds to wait for " + of_what)
      ->check(CLI::PositiveNumber)
      ->default_str(CLI::detail::to_string(default_timeout_seconds));
}

// --server must be given.
void RequireServer(CLI::App& app) { app.get_option("--server")->required(); }

// --objective, repeatable; `add` is called for each.
CLI::Option* AddObjectiveFlag(CLI::App& app, std::function<void(const v1::Objective&)> add) {
  return app
      .add_option_function<std::vector<std::string>>(
          "--objective",
          [add = std::move(add)](const std::vector<std::string>& flags) {
            for (const std::string& flag : flags) {
              const absl::StatusOr<v1::Objective> objective = ParseObjectiveFlag(flag);
              if (!objective.ok()) throw CLI::ValidationError(std::string(objective.status().message()));
              add(*objective);
            }
          },
          kObjectiveHelp)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void AddFileFlags(CLI::App& app, std::string& input, std::string& output, bool& overwrite) {
  app.add_option("--input", input, "JSON Lines file; - is standard input")->required();
  app.add_option("--output", output, "JSON Lines file; - is standard output")->required();
  app.add_flag("--overwrite", overwrite, "Drop what the output holds and start anew");
}

// What to do with the server's cache of log-probs; `Message` has the fields.
template <typename Message>
void AddCacheFlags(CLI::App& app, Message& message) {
  app.add_option_function<std::string>(
         "--cache", [&message](const std::string& name) { message.set_cache_mode(kCacheModes.at(name)); },
         "What to do with the server's cache of log-probs; refresh computes all and replaces what is cached")
      ->check(CLI::IsMember(kCacheModes))
      ->default_str("read-write");
  app.add_flag_callback(
      "--cache-policy", [&message] { message.set_cache_policy(true); },
      "Use the cache for the policy's log-probs too, not only for the reference's");
}

// The options that pairs and completions share; `Message` has their fields.
template <typename Message>
void AddScoringFlags(CLI::App& app, Message& message) {
  message.set_profile("trl");
  message.set_truncation_policy(v1::TRUNCATION_POLICY_ERROR);
  message.set_priority(v1::PRIORITY_BULK);  // files are datasets
  app.add_option_function<std::string>(
         "--profile", [&](const std::string& profile) { message.set_profile(profile); },
         "How text becomes token ids: trl (as TRL's DPOTrainer), or ids (rows must be token ids)")
      ->default_str("trl");
  app.add_option_function<std::string>(
         "--truncation", [&](const std::string& name) { message.set_truncation_policy(kTruncationPolicies.at(name)); },
         "What to do with a row over the length limit")
      ->check(CLI::IsMember(kTruncationPolicies))
      ->default_str("error");
  app.add_option_function<std::uint32_t>(
         "--max-length", [&](const std::uint32_t& length) { message.set_max_length(length); },
         "Longest prompt + completion, in tokens; default: the models' limit")
      ->check(CLI::PositiveNumber);
  app.add_option_function<std::string>(
         "--priority", [&](const std::string& name) { message.set_priority(kPriorities.at(name)); },
         "Who goes first at a busy server: interactive (somebody waits) or bulk")
      ->check(CLI::IsMember(kPriorities))
      ->default_str("bulk");
  app.add_flag_callback(
      "--per-token", [&] { message.set_return_token_logps(true); }, "Write the log-prob of each token too");
  AddCacheFlags(app, message);
}

CLI::App* AddScore(CLI::App& app, ScoreOptions& options) {
  CLI::App* score = app.add_subcommand("score", kScoreDescription);
  AddServerFlags(*score, options.server, 600, "a next result");
  RequireServer(*score);
  AddFileFlags(*score, options.input, options.output, options.overwrite);
  v1::ScoringOptions& scoring = options.scoring;
  score->add_option_function<std::string>(
      "--policy", [&](const std::string& name) { scoring.set_policy(name); },
      "Name of the policy model; default: the server's policy");
  score->add_option_function<std::string>(
      "--reference", [&](const std::string& name) { scoring.set_reference(name); },
      "Name of the reference model; default: the server's reference");
  AddObjectiveFlag(*score, [&](const v1::Objective& objective) {
    *scoring.add_objectives() = objective;
  })->default_str(kDefaultObjective);
  // A callback of a subcommand runs after its flags are read.
  score->callback([&] {
    if (scoring.objectives().empty()) *scoring.add_objectives() = *ParseObjectiveFlag(kDefaultObjective);
  });
  AddScoringFlags(*score, scoring);
  score->add_flag_callback(
      "--timings", [&] { scoring.set_return_timings(true); },
      "Write where each pair's time on the server went, too (microseconds; a batch's passes are told to all its pairs)");
  score->add_option("--window", options.window, "Most pairs under way")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  score->add_option_function<std::string>(
      "--expect-policy-digest", [&](const std::string& digest) { scoring.set_expected_policy_digest(digest); },
      "Fail unless the policy has this digest (see `prefscore models`)");
  score->add_option_function<std::string>(
      "--expect-reference-digest", [&](const std::string& digest) { scoring.set_expected_reference_digest(digest); },
      "Fail unless the reference has this digest");
  score
      ->add_option_function<std::vector<std::string>>(
          "--table",
          [&](const std::vector<std::string>& values) {
            std::size_t num_rows = kDefaultTableRows;
            const bool has_value = !values.empty() && !values[0].empty() && values[0] != "{}";
            if (has_value && !CLI::detail::lexical_cast(values[0], num_rows)) {
              throw CLI::ValidationError("--table " + values[0] + ": is not a number of rows");
            }
            options.num_table_rows = num_rows;
          },
          "Print a table of the first rows at the end (20 unless given): h and h0 are the margins of policy and "
          "reference in nats, the last columns tell who ranks the pair as the annotator did")
      ->expected(0, 1)
      ->type_name("[ROWS]");
  return score;
}

CLI::App* AddCompletions(CLI::App& app, CompletionsOptions& options) {
  CLI::App* completions = app.add_subcommand("completions", kCompletionsDescription);
  AddServerFlags(*completions, options.server, 600, "one request of up to 16 rows");
  RequireServer(*completions);
  AddFileFlags(*completions, options.input, options.output, options.overwrite);
  completions
      ->add_option_function<std::vector<std::string>>(
          "--model",
          [&](const std::vector<std::string>& names) {
            options.request.mutable_models()->Add(names.begin(), names.end());
          },
          "Name of a model to score under, repeatable; default: the server's policy and reference")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddScoringFlags(*completions, options.request);
  completions->add_flag_callback(
      "--greedy-match", [&] { options.request.set_return_greedy_match(true); },
      "Tell whether each completion is what greedy decoding gives");
  return completions;
}

CLI::App* AddEvaluate(CLI::App& app, EvaluateOptions& options) {
  CLI::App* evaluate = app.add_subcommand("evaluate", kEvaluateDescription);
  AddServerFlags(*evaluate, options.server, 600, "one request");
  AddFileFlags(*evaluate, options.input, options.output, options.overwrite);
  AddObjectiveFlag(*evaluate, [&](const v1::Objective& objective) {
    options.objectives.push_back(objective);
  })->required();
  evaluate
      ->add_option("--batch-size", options.batch_size,
                   "Rows of a batch, for objectives that need one (aot, kto_pair, ...); default: all rows")
      ->check(CLI::PositiveNumber);
  return evaluate;
}

CLI::App* AddAnalyze(CLI::App& app, AnalyzeOptions& options) {
  CLI::App* analyze = app.add_subcommand("analyze", kAnalyzeDescription);
  v1::AnalysisOptions& analysis = options.analysis;
  AddServerFlags(*analyze, options.server, 600, "the server to answer the first call");
  analyze->add_option("--input", options.input, "JSON Lines file; - is standard input")->required();
  analyze->add_option("--html", options.html, "Write the report as one self-contained page");
  analyze->add_option("--json", options.json, "Write the report as JSON; - is standard output");
  AddObjectiveFlag(*analyze, [&](const v1::Objective& objective) {
    *analysis.mutable_scoring()->add_objectives() = objective;
  })->default_str(kDefaultObjective);
  analyze->add_option_function<std::string>(
      "--sweep",
      [&](const std::string& flag) {
        const absl::StatusOr<v1::SweepGrid> grid = ParseSweepFlag(flag);
        if (!grid.ok()) throw CLI::ValidationError(std::string(grid.status().message()));
        *analysis.mutable_sweep() = *grid;
      },
      kSweepHelp);
  analyze
      ->add_option("--label", options.label_fields,
                   "Name of a member of the rows whose values slice the report, such as category; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  analyze->add_flag_callback(
      "--skip-faulty", [&] { analysis.set_skip_faulty_pairs(true); },
      "Count and list faulty rows instead of ending with the first one");
  analyze
      ->add_option_function<std::uint32_t>(
          "--max-slices", [&](const std::uint32_t& count) { analysis.set_max_slices(count); },
          "Most slices per label; further values are grouped")
      ->check(CLI::Range(1, 1024))
      ->default_str("64");
  analyze
      ->add_option_function<std::uint32_t>(
          "--list", [&](const std::uint32_t& count) { analysis.set_num_listed_pairs(count); },
          "Most pairs in each list of pairs to look at")
      ->check(CLI::Range(1, 1000))
      ->default_str("10");
  analyze
      ->add_option_function<double>(
          "--learning-threshold", [&](const double& weight) { analysis.set_learning_threshold(weight); },
          "A pair still learns where its sigmoid weight is above this")
      ->default_str("0.05");
  analyze
      ->add_option_function<double>(
          "--saturation-threshold", [&](const double& weight) { analysis.set_saturation_threshold(weight); },
          "A pair is saturated where its sigmoid weight is below this")
      ->default_str("0.01");
  analyze->add_option_function<std::string>(
      "--policy", [&](const std::string& name) { analysis.mutable_scoring()->set_policy(name); },
      "Name of the policy model; default: the server's policy");
  analyze->add_option_function<std::string>(
      "--reference", [&](const std::string& name) { analysis.mutable_scoring()->set_reference(name); },
      "Name of the reference model; default: the server's reference");
  AddCacheFlags(*analyze, *analysis.mutable_scoring());
  return analyze;
}

CLI::App* AddObjectives(CLI::App& app, ObjectivesFormat& format) {
  CLI::App* objectives = app.add_subcommand("objectives", kObjectivesDescription);
  objectives->add_flag_callback(
      "--markdown", [&] { format = ObjectivesFormat::kMarkdown; }, "Print a Markdown table");
  objectives->add_flag_callback(
      "--json", [&] { format = ObjectivesFormat::kJson; }, "Print JSON");
  return objectives;
}

CLI::App* AddModels(CLI::App& app, ModelsOptions& options) {
  CLI::App* models = app.add_subcommand("models", kModelsDescription);
  AddServerFlags(*models, options.server, 10, "the answer");
  RequireServer(*models);
  models->add_flag("--json", options.json, "Print the response as JSON");
  return models;
}

CLI::App* AddHealth(CLI::App& app, HealthOptions& options) {
  CLI::App* health = app.add_subcommand("health", kHealthDescription);
  AddServerFlags(*health, options.server, 10, "the answer");
  RequireServer(*health);
  health->add_option("--service", options.service, "Full name of a gRPC service; default: the server as a whole");
  return health;
}

// A subcommand of `admin`.
CLI::App* AddAdmin(CLI::App& admin, const std::string& name, const std::string& description, AdminOptions& options) {
  CLI::App* command = admin.add_subcommand(name, description);
  AddServerFlags(*command, options.server, 10, "the answer");
  RequireServer(*command);
  return command;
}

// Returns `token new`.
CLI::App* AddToken(CLI::App& app, TokenOptions& options) {
  CLI::App* token = app.add_subcommand("token", kTokenDescription);
  token->require_subcommand(1);
  CLI::App* made = token->add_subcommand("new", kNewTokenDescription);
  made->add_option("--name", options.name, "Whose token it is, in messages, logs and metrics")->required();
  made->add_option_function<std::vector<std::string>>(
          "--role",
          [&](const std::vector<std::string>& names) {
            for (const std::string& name : names) options.roles.push_back(kRoles.at(name));
          },
          "What it allows: score, admin (the admin service) or metrics (reading them); repeatable")
      ->required()
      ->check(CLI::IsMember(kRoles))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  made->add_option("--output", options.output, "A new file for the token, which only its owner can read");
  return made;
}

int Run(int argc, char** argv) {
  CLI::App app(kDescription, "prefscore");
  app.footer(kExitCodes);
  app.formatter(std::make_shared<OverviewFormatter>());
  app.require_subcommand(1);
  ScoreOptions score_options;
  CompletionsOptions completions_options;
  EvaluateOptions evaluate_options;
  AnalyzeOptions analyze_options;
  ObjectivesFormat objectives_format = ObjectivesFormat::kText;
  ModelsOptions models_options;
  HealthOptions health_options;
  TopOptions top_options;
  TokenOptions token_options;
  AdminOptions admin_options;
  CLI::App* admin = app.add_subcommand("admin", kAdminDescription);
  admin->require_subcommand(1);
  CLI::App* status = AddAdmin(*admin, "status", "Shows what the server does and with what.", admin_options);
  status->add_flag("--json", admin_options.json, "Print the response as JSON");
  CLI::App* level = AddAdmin(*admin, "log-level", "Changes the level of the log until the next start.", admin_options);
  level->add_option("LEVEL", admin_options.level, "debug, info, warning or error")
      ->required()
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}));
  CLI::App* reload = AddAdmin(*admin, "reload-tokens", "Has the server read its token file now.", admin_options);
  const std::vector<std::pair<CLI::App*, std::function<int()>>> commands = {
      {AddScore(app, score_options), [&] { return RunScore(score_options); }},
      {AddCompletions(app, completions_options), [&] { return RunCompletions(completions_options); }},
      {AddEvaluate(app, evaluate_options), [&] { return RunEvaluate(evaluate_options); }},
      {AddAnalyze(app, analyze_options), [&] { return RunAnalyze(analyze_options); }},
      {AddObjectives(app, objectives_format), [&] { return RunObjectives(objectives_format); }},
      {AddModels(app, models_options), [&] { return RunModels(models_options); }},
      {AddHealth(app, health_options), [&] { return RunHealth(health_options); }},
      {AddTop(app, top_options), [&] { return RunTop(top_options); }},
      {AddToken(app, token_options), [&] { return RunNewToken(token_options); }},
      {status, [&] { return RunAdminStatus(admin_options); }},
      {level, [&] { return RunAdminLogLevel(admin_options); }},
      {reload, [&] { return RunAdminReloadTokens(admin_options); }}};
  for (const auto& [command, run] : commands) command->footer(kExitCodes);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kAllDone : kUsage;
  }
  for (const auto& [command, run] : commands) {
    if (command->parsed()) return run();
  }
  return kUsage;
}

}  // namespace
}  // namespace prefscore::cli

int main(int argc, char** argv) { return prefscore::cli::Run(argc, argv); }
