// SPDX-License-Identifier: Apache-2.0
#include "client/cli/analysis_run.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/messages/analysis_messages.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

constexpr std::int64_t kMaxObjectives = 64;
constexpr std::size_t kMaxMessageShare = 2;  // a message is sent once it has half of the bytes that the server takes
constexpr std::int64_t kPairsPerMessage = 256;

class LocalRun final : public AnalysisRun {
 public:
  LocalRun(AnalysisOptions options, v1::ScoringOptions scoring)
      : analyzer_(std::move(options)), scoring_(std::move(scoring)) {}

  absl::Status AddLogProbs(v1::PairLogProbs pair) override {
    const auto analyzed = AnalyzedPairFromProto(pair);
    if (!analyzed.ok()) {
      if (!analyzer_.options().skip_faulty_pairs) return analyzed.status();
      analyzer_.AddFaulty(pair.id(), std::string(analyzed.status().message()), HasNonFinite(pair.logps()));
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(analyzer_.Add(*analyzed));
    policies_.Add(pair.policy_digest());
    references_.Add(pair.reference_digest());
    return absl::OkStatus();
  }

  absl::Status AddPair(v1::PreferencePair) override {
    return absl::InvalidArgumentError("the row has no log-probs; name a --server that scores it");
  }

  void AddFaulty(const std::string& id, const absl::Status& fault) override {
    analyzer_.AddFaulty(id, std::string(fault.message()), absl::IsOutOfRange(fault));
  }

  absl::StatusOr<v1::AnalysisReport> Finish() override {
    return ReportToProto(analyzer_.MakeReport(), analyzer_.options(), scoring_, policies_, references_);
  }

 private:
  Analyzer analyzer_;
  const v1::ScoringOptions scoring_;
  DigestSet policies_;
  DigestSet references_;
};

class ServerRun final : public AnalysisRun {
 public:
  ServerRun(std::unique_ptr<client::AnalysisCall> call, const v1::AnalysisOptions& options, const v1::Limits& limits)
      : call_(std::move(call)),
        max_pairs_(std::min<std::int64_t>(kPairsPerMessage, limits.max_pairs_per_request())),
        max_bytes_(limits.max_message_bytes() / kMaxMessageShare) {
    *request_.mutable_options() = options;
  }

  absl::Status AddLogProbs(v1::PairLogProbs pair) override {
    num_bytes_ += pair.ByteSizeLong();
    *request_.add_logps() = std::move(pair);
    return SendIfFull();
  }

  absl::Status AddPair(v1::PreferencePair pair) override {
    num_bytes_ += pair.ByteSizeLong();
    *request_.add_pairs() = std::move(pair);
    return SendIfFull();
  }

  // The server never sees the row; the report counts it all the same.
  void AddFaulty(const std::string& id, const absl::Status& fault) override {
    ++num_faulty_;
    num_non_finite_ += absl::IsOutOfRange(fault) ? 1 : 0;
    faulty_.emplace(id, std::string(fault.message()));
  }

  absl::StatusOr<v1::AnalysisReport> Finish() override {
    RETURN_IF_ERROR(Send());  // also where there are no pairs: the options
    ASSIGN_OR_RETURN(v1::AnalysisReport report, call_->Finish());
    report.set_num_faulty_pairs(report.num_faulty_pairs() + num_faulty_);
    report.set_num_non_finite_pairs(report.num_non_finite_pairs() + num_non_finite_);
    for (const v1::FaultyPair& pair : report.faulty_pairs()) faulty_.emplace(pair.id(), pair.message());
    report.clear_faulty_pairs();
    for (const auto& [id, message] : faulty_) {
      if (report.faulty_pairs_size() >= static_cast<int>(report.options().num_listed_pairs())) break;
      v1::FaultyPair& pair = *report.add_faulty_pairs();
      pair.set_id(id);
      pair.set_message(message);
    }
    return report;
  }

 private:
  absl::Status SendIfFull() {
    const bool is_full = request_.pairs_size() + request_.logps_size() >= max_pairs_ || num_bytes_ >= max_bytes_;
    return is_full ? Send() : absl::OkStatus();
  }

  absl::Status Send() {
    const absl::Status status = call_->Write(request_);
    request_.Clear();
    num_bytes_ = 0;
    return status;
  }

  const std::unique_ptr<client::AnalysisCall> call_;
  const std::int64_t max_pairs_;
  const std::size_t max_bytes_;
  v1::AnalyzePairsRequest request_;
  std::size_t num_bytes_ = 0;
  std::uint64_t num_faulty_ = 0;
  std::uint64_t num_non_finite_ = 0;
  std::multimap<std::string, std::string> faulty_;  // id and message
};

}  // namespace

absl::StatusOr<std::unique_ptr<AnalysisRun>> AnalyzeHere(const v1::AnalysisOptions& options) {
  ASSIGN_OR_RETURN(AnalysisOptions resolved, AnalysisOptionsFromProto(options, kMaxObjectives));
  return std::make_unique<LocalRun>(std::move(resolved), options.scoring());
}

absl::StatusOr<std::unique_ptr<AnalysisRun>> AnalyzeAt(const ServerOptions& server, const v1::AnalysisOptions& options,
                                                       std::function<void(const std::string&)> note) {
  ASSIGN_OR_RETURN(const auto client, ConnectTo(server, std::move(note)));
  ASSIGN_OR_RETURN(const v1::ListModelsResponse models, client->ListModels());
  return std::make_unique<ServerRun>(client->OpenAnalysis(), options, models.limits());
}

}  // namespace prefscore::cli
