// SPDX-License-Identifier: Apache-2.0
#include "client/cli/analyze_command.h"

#include <cerrno>
#include <fstream>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/analysis_run.h"
#include "client/cli/analysis_summary.h"
#include "client/cli/json_lines.h"
#include "client/cli/logp_rows.h"
#include "client/cli/message_json.h"
#include "client/cli/pair_rows.h"
#include "client/cli/progress.h"
#include "server/report_html/report_html.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

// A fault of the row at `line`.
absl::Status AtLine(const Line& line, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat("line ", line.number, ": ", std::string(status.message())));
}

// Rows without an id are told by their line.
template <typename Pair>
void NameByLine(const Line& line, Pair& pair) {
  if (pair.id().empty()) pair.set_id(absl::StrCat("line ", line.number));
}

absl::Status AddRow(const Line& line, const AnalyzeOptions& options, AnalysisRun& run) {
  const auto on_fault = [&](const std::string& id, const absl::Status& fault) -> absl::Status {
    if (!options.analysis.skip_faulty_pairs()) return fault;
    run.AddFaulty(id.empty() ? absl::StrCat("line ", line.number) : id, AtLine(line, fault));
    return absl::OkStatus();
  };
  LogProbRow row = ParseLogProbRow(line.text, options.label_fields);
  if (!row.fault.ok()) return on_fault(row.pair.id(), row.fault);
  if (row.pair.logps().has_policy_chosen_logp() || row.pair.logps().has_policy_rejected_logp()) {
    NameByLine(line, row.pair);
    return run.AddLogProbs(std::move(row.pair));
  }
  PairRow pair = ParsePairRow(line.text, options.label_fields);
  if (!pair.fault.ok()) return on_fault(pair.pair.id(), pair.fault);
  NameByLine(line, pair.pair);
  return run.AddPair(std::move(pair.pair));
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  if (path == kStandardStream) {
    std::cout << text << std::flush;
    return std::cout ? absl::OkStatus() : absl::UnavailableError("cannot write standard output");
  }
  errno = 0;
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (file.flush()) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
}

absl::StatusOr<v1::AnalysisReport> Analyze(const AnalyzeOptions& options) {
  ASSIGN_OR_RETURN(const auto reader, LineReader::Open(options.input));
  Progress progress(CountLines(options.input));
  std::unique_ptr<AnalysisRun> run;
  if (options.server.address.empty()) {
    ASSIGN_OR_RETURN(run, AnalyzeHere(options.analysis));
  } else {
    ASSIGN_OR_RETURN(
        run, AnalyzeAt(options.server, options.analysis, [&](const std::string& text) { progress.Note(text); }));
  }
  std::uint64_t num_rows = 0;
  while (const std::optional<Line> line = reader->Next()) {
    const absl::Status status = AddRow(*line, options, *run);
    if (!status.ok()) return AtLine(*line, status);
    progress.Update({.num_done = ++num_rows});
  }
  return run->Finish();
}

absl::Status AnalyzeAndWrite(const AnalyzeOptions& options) {
  ASSIGN_OR_RETURN(const v1::AnalysisReport report, Analyze(options));
  if (!options.html.empty()) {
    const std::string page = report_html::ReportHtml(
        report, {.generated_from = absl::StrCat("prefscore analyze --input ", options.input)});
    RETURN_IF_ERROR(WriteFile(options.html, page));
  }
  if (!options.json.empty()) {
    RETURN_IF_ERROR(WriteFile(options.json, MessageToJson(report, JsonLayout::kIndented)));
  }
  std::ostream& out = options.json == kStandardStream ? std::cerr : std::cout;
  out << AnalysisSummary(report) << std::flush;
  return absl::OkStatus();
}

}  // namespace

int RunAnalyze(const AnalyzeOptions& options) {
  const absl::Status status = AnalyzeAndWrite(options);
  return status.ok() ? kAllDone : Fail(status);
}

}  // namespace prefscore::cli
