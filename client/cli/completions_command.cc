// SPDX-License-Identifier: Apache-2.0
#include "client/cli/completions_command.h"

#include <algorithm>
#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/completion_rows.h"
#include "client/cli/json_lines.h"
#include "client/cli/progress.h"
#include "client/cli/result_json.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kMaxPromptsPerRequest = 16;
constexpr std::size_t kMessageOverheadBytes = 1024;  // of a request, without its prompts

// Gathers rows into requests and writes their results in the order of the input.
class CompletionRun {
 public:
  CompletionRun(const CompletionsOptions& options, client::ScoringClient& client, const v1::Limits& limits,
                LineWriter& writer, Progress& progress)
      : request_(options.request), client_(client), limits_(limits), writer_(writer), progress_(progress) {}

  absl::Status Add(const Line& line) {
    CompletionRow row = ParseCompletionRow(line.text);
    const std::size_t num_bytes = row.prompt.ByteSizeLong() + kMessageOverheadBytes;
    if (row.fault.ok() && limits_.max_message_bytes() > 0 && num_bytes > limits_.max_message_bytes()) {
      row.fault = absl::InvalidArgumentError(absl::StrCat("prompt and completions: are ", num_bytes,
                                                          " bytes long; the server's limit is ",
                                                          limits_.max_message_bytes(), " (max_message_bytes)"));
    }
    const bool is_full = results_.size() >= MaxPrompts() ||
                         (limits_.max_message_bytes() > 0 && num_bytes_ + num_bytes > limits_.max_message_bytes());
    if (is_full) RETURN_IF_ERROR(Flush());
    const std::uint64_t index = first_index_ + results_.size();
    if (!row.fault.ok()) {
      results_.push_back(FaultyRow<v1::PromptResult>(row.prompt.id(), index, line.number, row.fault));
      return absl::OkStatus();
    }
    results_.emplace_back().set_index(static_cast<std::uint32_t>(index));
    sent_.push_back(results_.size() - 1);
    num_bytes_ += num_bytes;
    *request_.add_prompts() = std::move(row.prompt);
    return absl::OkStatus();
  }

  // Scores what is gathered.
  absl::Status Flush() {
    if (!sent_.empty()) {
      ASSIGN_OR_RETURN(v1::ScoreCompletionsResponse response, client_.ScoreCompletions(request_));
      if (response.results_size() != static_cast<int>(sent_.size())) {
        return absl::InternalError(
            absl::StrCat("the server sent ", response.results_size(), " results for ", sent_.size(), " prompts"));
      }
      for (std::size_t i = 0; i < sent_.size(); ++i) {
        v1::PromptResult& result = results_[sent_[i]];
        const std::uint32_t index = result.index();
        result = std::move(*response.mutable_results(static_cast<int>(i)));
        result.set_index(index);
      }
    }
    for (const v1::PromptResult& result : results_) {
      ASSIGN_OR_RETURN(const std::string text, ResultToJson(result));
      RETURN_IF_ERROR(writer_.WriteLine(text));
      ++counts_.num_done;
      counts_.num_failed += result.has_status() ? 1 : 0;
    }
    progress_.Update(counts_);
    first_index_ += results_.size();
    results_.clear();
    sent_.clear();
    request_.clear_prompts();
    num_bytes_ = 0;
    return absl::OkStatus();
  }

  const ProgressCounts& counts() const { return counts_; }

 private:
  std::size_t MaxPrompts() const {
    const std::size_t limit = limits_.max_pairs_per_request();
    return limit > 0 ? std::min(limit, kMaxPromptsPerRequest) : kMaxPromptsPerRequest;
  }

  v1::ScoreCompletionsRequest request_;
  client::ScoringClient& client_;
  const v1::Limits& limits_;
  LineWriter& writer_;
  Progress& progress_;
  std::vector<v1::PromptResult> results_;  // of the rows gathered; faulty ones are complete
  std::vector<std::size_t> sent_;          // index into results_ of each of the request's prompts
  std::size_t num_bytes_ = 0;
  std::uint64_t first_index_ = 0;
  ProgressCounts counts_;
};

absl::StatusOr<int> ScoreAll(const CompletionsOptions& options) {
  ASSIGN_OR_RETURN(const auto reader, LineReader::Open(options.input));
  ASSIGN_OR_RETURN(const auto writer, OpenNewOutput(options.input, options.output, options.overwrite));
  Progress progress(CountLines(options.input));
  ASSIGN_OR_RETURN(const auto client,
                   ConnectTo(options.server, [&](const std::string& text) { progress.Note(text); }));
  ASSIGN_OR_RETURN(const v1::ListModelsResponse models, client->ListModels());

  CompletionRun run(options, *client, models.limits(), *writer, progress);
  while (const std::optional<Line> line = reader->Next()) RETURN_IF_ERROR(run.Add(*line));
  RETURN_IF_ERROR(run.Flush());
  progress.Clear();
  std::cerr << "scored " << run.counts().num_done - run.counts().num_failed << " of " << run.counts().num_done
            << " rows\n";
  return run.counts().num_failed > 0 ? kSomeRowsFailed : kAllDone;
}

}  // namespace

int RunCompletions(const CompletionsOptions& options) {
  const absl::StatusOr<int> exit_code = ScoreAll(options);
  return exit_code.ok() ? *exit_code : Fail(exit_code.status());
}

}  // namespace prefscore::cli
