// SPDX-License-Identifier: Apache-2.0
#include "client/cli/score_command.h"

#include <filesystem>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/json_lines.h"
#include "client/cli/objective_flag.h"
#include "client/cli/pair_rows.h"
#include "client/cli/progress.h"
#include "client/cli/result_file.h"
#include "client/cli/result_json.h"
#include "client/cli/score_sink.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kMessageOverheadBytes = 64;  // around a pair in its stream message

// Pins the digests of the models that the server has now: if it comes back with others, the run fails instead of
// mixing.
void PinModels(const v1::Model* policy, const v1::Model* reference, v1::ScoringOptions& scoring) {
  if (policy && scoring.expected_policy_digest().empty()) scoring.set_expected_policy_digest(policy->digest());
  if (reference && scoring.expected_reference_digest().empty()) {
    scoring.set_expected_reference_digest(reference->digest());
  }
}

RunSettings SettingsOf(const v1::Model* policy, const v1::Model* reference, const v1::ScoringOptions& scoring) {
  std::string objectives;
  for (const v1::Objective& objective : scoring.objectives()) {
    absl::StrAppend(&objectives, objectives.empty() ? "" : " ", FormatObjective(objective));
  }
  RunSettings settings = {{"policy_digest", scoring.expected_policy_digest()},
                          {"reference_digest", scoring.expected_reference_digest()},
                          {"objectives", objectives},
                          {"profile", scoring.profile()},
                          {"truncation", v1::TruncationPolicy_Name(scoring.truncation_policy())},
                          {"max_length", absl::StrCat(scoring.max_length())},
                          {"per_token", scoring.return_token_logps() ? "yes" : "no"}};
  const auto add_model = [&](const std::string& role, const v1::Model* model) {
    settings.emplace_back(role + "_tokenizer_fingerprint", model ? model->tokenizer_fingerprint() : "");
    settings.emplace_back(role + "_numerics_mode", model ? model->numerics_mode() : "");
  };
  add_model("policy", policy);
  add_model("reference", reference);
  return settings;
}

absl::Status CheckPaths(const ScoreOptions& options) {
  std::error_code ignored;
  if (options.output != kStandardStream && std::filesystem::is_regular_file(options.output, ignored) &&
      std::filesystem::equivalent(options.input, options.output, ignored)) {
    return absl::InvalidArgumentError("--input and --output are the same file");
  }
  return absl::OkStatus();
}

// Sends every row that the file does not hold yet.
absl::Status ScoreRows(LineReader& reader, std::uint64_t max_message_bytes, ResultFile& file, ScoreSink& sink,
                       client::PairStream& stream, std::uint64_t& num_known_rows) {
  bool has_kept = true;
  for (std::uint64_t index = 0;; ++index) {
    RETURN_IF_ERROR(sink.status());
    const std::optional<Line> line = reader.Next();
    if (!line) break;
    PairRow row = ParsePairRow(line->text);
    num_known_rows += row.pair.has_known() ? 1 : 0;
    if (has_kept) {
      ASSIGN_OR_RETURN(const std::optional<v1::PairResult> kept, file.NextKept(index, row.pair.id()));
      if (kept) {
        sink.AddKept(*kept);
        continue;
      }
      has_kept = false;
    }
    const std::size_t num_bytes = row.pair.ByteSizeLong() + kMessageOverheadBytes;
    if (row.fault.ok() && max_message_bytes > 0 && num_bytes > max_message_bytes) {
      row.fault = absl::InvalidArgumentError(absl::StrCat(
          "pair: is ", num_bytes, " bytes long; the server's limit is ", max_message_bytes, " (max_message_bytes)"));
    }
    if (!row.fault.ok()) {
      sink.AddFaulty(FaultyRow<v1::PairResult>(row.pair.id(), index, line->number, row.fault));
      continue;
    }
    sink.Expect(index);
    RETURN_IF_ERROR(stream.Push(std::move(row.pair)));
  }
  RETURN_IF_ERROR(file.ExpectNoMoreKept());
  RETURN_IF_ERROR(stream.Finish());
  return sink.status();
}

void PrintReport(const ScoreOptions& options, const ScoreSink& sink, std::uint64_t num_known_rows,
                 absl::Duration elapsed) {
  std::ostream& out = options.output == kStandardStream ? std::cerr : std::cout;
  const Summary& summary = sink.summary();
  if (options.num_table_rows && !sink.table().Text().empty()) out << sink.table().Text() << "\n";
  const std::uint64_t num_rows = summary.num_scored() + summary.num_failed();
  const double seconds = absl::ToDoubleSeconds(elapsed);
  out << "scored " << summary.num_scored() << " of " << num_rows << " rows";
  if (summary.num_failed() > 0) out << ", " << summary.num_failed() << " failed (see their status in the output)";
  if (sink.num_kept() > 0) out << ", " << sink.num_kept() << " kept from an earlier run";
  out << absl::StrFormat("; %.1f s, %.1f rows/s\n", seconds,
                         static_cast<double>(num_rows - sink.num_kept()) / seconds);
  if (num_known_rows > 0) out << num_known_rows << " rows brought log-probs of their own, which were used as given\n";
  out << summary.Text() << std::flush;
}

absl::StatusOr<int> Score(const ScoreOptions& options) {
  RETURN_IF_ERROR(CheckPaths(options));
  ASSIGN_OR_RETURN(const auto reader, LineReader::Open(options.input));
  Progress progress(CountLines(options.input));
  const auto note = [&](const std::string& text) { progress.Note(text); };

  ASSIGN_OR_RETURN(const auto client, ConnectTo(options.server, note));
  ASSIGN_OR_RETURN(const v1::ListModelsResponse models, client->ListModels());
  const v1::Model* policy = FindModel(models, options.scoring.policy(), v1::MODEL_ROLE_POLICY);
  const v1::Model* reference = FindModel(models, options.scoring.reference(), v1::MODEL_ROLE_REFERENCE);

  client::PairStreamOptions stream_options;
  stream_options.scoring = options.scoring;
  PinModels(policy, reference, stream_options.scoring);
  stream_options.window = options.window;
  stream_options.in_order = true;
  stream_options.silence_timeout = options.server.timeout;
  stream_options.retry.on_retry = RetryNote(note);

  ASSIGN_OR_RETURN(
      const auto file,
      ResultFile::Open(options.output, SettingsOf(policy, reference, stream_options.scoring), options.overwrite));
  ScoreSink sink(*file, progress, options.num_table_rows.value_or(0));
  std::uint64_t num_known_rows = 0;
  absl::Status status;
  {
    const auto stream =
        client->OpenPairStream(stream_options, [&](v1::PairResult result) { sink.AddResult(std::move(result)); });
    status = ScoreRows(*reader, models.limits().max_message_bytes(), *file, sink, *stream, num_known_rows);
  }
  if (!status.ok()) {
    const std::uint64_t num_rows = sink.summary().num_scored() + sink.summary().num_failed();
    if (num_rows > 0 && options.output != kStandardStream) {
      note(absl::StrCat(options.output, " holds ", num_rows, " rows; the same command goes on from there"));
    }
    return status;
  }
  progress.Clear();
  PrintReport(options, sink, num_known_rows, progress.Elapsed());
  return sink.summary().num_failed() > 0 ? kSomeRowsFailed : kAllDone;
}

}  // namespace

int RunScore(const ScoreOptions& options) {
  const absl::StatusOr<int> exit_code = Score(options);
  return exit_code.ok() ? *exit_code : Fail(exit_code.status());
}

}  // namespace prefscore::cli
