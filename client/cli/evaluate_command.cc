// SPDX-License-Identifier: Apache-2.0
#include "client/cli/evaluate_command.h"

#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "client/cli/json_lines.h"
#include "client/cli/logp_rows.h"
#include "client/cli/objective_flag.h"
#include "client/cli/progress.h"
#include "client/cli/result_json.h"
#include "client/cli/summary.h"
#include "server/messages/objective_messages.h"
#include "server/messages/pair_messages.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kPairsPerChunk = 1024;   // of pairs that do not depend on each other
constexpr std::size_t kMaxFaultsTold = 10;     // on standard error
constexpr std::int64_t kMaxObjectives = 1024;  // of one run; a server has a limit of its own

// Evaluates a request: at the server, or here with the code that the server runs. Faults of pairs are in the results.
class Evaluator {
 public:
  Evaluator(std::unique_ptr<client::ScoringClient> client, std::vector<Objective> objectives)
      : client_(std::move(client)), objectives_(std::move(objectives)) {}

  absl::StatusOr<v1::EvaluateObjectivesResponse> Evaluate(const v1::EvaluateObjectivesRequest& request) {
    if (client_ != nullptr) return client_->EvaluateObjectives(request);
    v1::EvaluateObjectivesResponse response;
    std::vector<absl::Status> statuses(request.pairs_size());
    EvaluateLogProbs(request.pairs(), objectives_, statuses, response);
    for (int idx = 0; idx < request.pairs_size(); ++idx) {
      if (statuses[idx].ok()) continue;
      auto& status = *response.mutable_results(idx)->mutable_status();
      status.set_code(static_cast<int>(statuses[idx].code()));
      status.set_message(std::string(statuses[idx].message()));
    }
    return response;
  }

 private:
  const std::unique_ptr<client::ScoringClient> client_;
  const std::vector<Objective> objectives_;
};

// Gathers rows into chunks and writes their results in the order of the input.
class EvaluationRun {
 public:
  EvaluationRun(const EvaluateOptions& options, std::size_t chunk_size, Evaluator& evaluator, LineWriter& writer,
                Progress& progress)
      : chunk_size_(chunk_size), evaluator_(evaluator), writer_(writer), progress_(progress) {
    request_.mutable_objectives()->Add(options.objectives.begin(), options.objectives.end());
  }

  absl::Status Add(const Line& line) {
    LogProbRow row = ParseLogProbRow(line.text);
    const std::uint64_t index = first_index_ + results_.size();
    if (row.fault.ok()) {
      results_.emplace_back();
      *request_.add_pairs() = std::move(row.pair);
      sent_.push_back(results_.size() - 1);
    } else {
      results_.push_back(FaultyRow<v1::PairResult>(row.pair.id(), index, line.number, row.fault));
    }
    lines_.push_back(line.number);
    return sent_.size() < chunk_size_ ? absl::OkStatus() : Flush();
  }

  absl::Status Flush() {
    if (!sent_.empty()) {
      ASSIGN_OR_RETURN(v1::EvaluateObjectivesResponse response, evaluator_.Evaluate(request_));
      for (std::size_t idx = 0; idx < sent_.size() && static_cast<int>(idx) < response.results_size(); ++idx) {
        v1::PairResult& result = results_[sent_[idx]];
        result = std::move(*response.mutable_results(static_cast<int>(idx)));
        result.set_index(static_cast<std::uint32_t>(first_index_ + sent_[idx]));
        if (result.has_status()) {
          result.mutable_status()->set_message(
              absl::StrCat("line ", lines_[sent_[idx]], ": ", result.status().message()));
        }
      }
      TellBatchStates(response);
    }
    for (const v1::PairResult& result : results_) {
      ASSIGN_OR_RETURN(const std::string text, ResultToJson(result));
      RETURN_IF_ERROR(writer_.WriteLine(text));
      summary_.Add(result);
      if (!result.has_status()) continue;
      if (summary_.num_failed() <= kMaxFaultsTold) progress_.Note(result.status().message());
      if (summary_.num_failed() == kMaxFaultsTold + 1) progress_.Note("further faults are in the output");
    }
    progress_.Update({.num_done = summary_.num_scored() + summary_.num_failed(), .num_failed = summary_.num_failed()});
    first_index_ += results_.size();
    results_.clear();
    lines_.clear();
    sent_.clear();
    request_.clear_pairs();
    return absl::OkStatus();
  }

  const Summary& summary() const { return summary_; }

 private:
  void TellBatchStates(const v1::EvaluateObjectivesResponse& response) {
    for (int idx = 0; idx < response.batch_states_size(); ++idx) {
      std::string text;
      const auto& values = response.batch_states(idx).values();
      const std::map<std::string, double> sorted(values.begin(), values.end());
      for (const auto& [name, value] : sorted) absl::StrAppend(&text, " ", name, "=", ShortestNumber(value));
      if (text.empty()) continue;
      progress_.Note(absl::StrCat("batch of rows ", first_index_, " to ", first_index_ + results_.size() - 1, ", ",
                                  FormatObjective(request_.objectives(idx)), ":", text));
    }
  }

  const std::size_t chunk_size_;
  Evaluator& evaluator_;
  LineWriter& writer_;
  Progress& progress_;
  v1::EvaluateObjectivesRequest request_;
  std::vector<v1::PairResult> results_;  // of the rows gathered; faulty ones are complete
  std::vector<std::uint64_t> lines_;     // of the rows gathered
  std::vector<std::size_t> sent_;        // index into results_ of each of the request's pairs
  std::uint64_t first_index_ = 0;
  Summary summary_;
};

absl::StatusOr<std::vector<Objective>> ResolveObjectives(const EvaluateOptions& options) {
  v1::EvaluateObjectivesRequest request;
  request.mutable_objectives()->Add(options.objectives.begin(), options.objectives.end());
  return ObjectivesFromProto(request.objectives(), "objectives", kMaxObjectives);
}

absl::StatusOr<int> EvaluateAll(const EvaluateOptions& options) {
  ASSIGN_OR_RETURN(std::vector<Objective> objectives, ResolveObjectives(options));
  const bool has_batch_objective = std::any_of(objectives.begin(), objectives.end(),
                                               [](const Objective& objective) { return objective.is_batch(); });
  ASSIGN_OR_RETURN(const auto reader, LineReader::Open(options.input));
  Progress progress(CountLines(options.input));
  std::size_t chunk_size = kPairsPerChunk;
  if (has_batch_objective) {
    chunk_size = options.batch_size > 0 ? options.batch_size : std::numeric_limits<std::size_t>::max();
  }
  std::unique_ptr<client::ScoringClient> client;
  if (!options.server.address.empty()) {
    ASSIGN_OR_RETURN(client, ConnectTo(options.server, [&](const std::string& text) { progress.Note(text); }));
    ASSIGN_OR_RETURN(const v1::ListModelsResponse models, client->ListModels());
    if (!has_batch_objective) chunk_size = std::min<std::size_t>(chunk_size, models.limits().max_pairs_per_request());
  }
  Evaluator evaluator(std::move(client), std::move(objectives));
  ASSIGN_OR_RETURN(const auto writer, OpenNewOutput(options.input, options.output, options.overwrite));

  EvaluationRun run(options, chunk_size, evaluator, *writer, progress);
  while (const std::optional<Line> line = reader->Next()) RETURN_IF_ERROR(run.Add(*line));
  RETURN_IF_ERROR(run.Flush());
  progress.Clear();
  std::ostream& out = options.output == kStandardStream ? std::cerr : std::cout;
  const Summary& summary = run.summary();
  out << "evaluated " << summary.num_scored() << " of " << summary.num_scored() + summary.num_failed() << " rows";
  if (summary.num_failed() > 0) out << ", " << summary.num_failed() << " failed (see their status in the output)";
  out << "\n" << summary.Text() << std::flush;
  return summary.num_failed() > 0 ? kSomeRowsFailed : kAllDone;
}

}  // namespace

int RunEvaluate(const EvaluateOptions& options) {
  const absl::Status usage = ResolveObjectives(options).status();
  if (!usage.ok()) {
    Fail(usage);
    return kUsage;
  }
  const absl::StatusOr<int> exit_code = EvaluateAll(options);
  return exit_code.ok() ? *exit_code : Fail(exit_code.status());
}

}  // namespace prefscore::cli
