// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/analyzer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/diagnostics/label_slices.h"
#include "server/diagnostics/pair_check.h"
#include "server/diagnostics/slice.h"
#include "server/diagnostics/smallest.h"
#include "server/util/field_error.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

struct FaultyPairOrder : FaultyPair {
  bool operator<(const FaultyPairOrder& other) const {
    return std::tie(id, message) < std::tie(other.id, other.message);
  }
};

absl::Status CheckLabels(const Labels& labels) {
  if (labels.size() > kMaxLabelNames) {
    return FieldError("labels", absl::StrCat("are ", labels.size(), "; the limit is ", kMaxLabelNames));
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::string& name = labels[i].first;
    if (name.empty()) return FieldError("labels", "have an empty name");
    for (std::size_t j = 0; j < i; ++j) {
      if (labels[j].first == name) return FieldError("labels", absl::StrCat("name '", name, "' twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status TooManyLabelNames(const std::string& name) {
  return UnderField("labels", absl::FailedPreconditionError(absl::StrCat("of all pairs have more than ", kMaxLabelNames,
                                                                         " names, the last '", name, "'")));
}

}  // namespace

class Analyzer::State {
 public:
  explicit State(AnalysisOptions options)
      : context_{AnalysisPlan(std::move(options))},
        overall_(context_.plan),
        faulty_pairs_(context_.plan.options.num_listed_pairs) {}

  const AnalysisOptions& options() const { return context_.plan.options; }

  absl::Status Add(const AnalyzedPair& pair) {
    const absl::Status fault =
        IsSound(pair.inputs, context_.plan.needs) ? CheckLabels(pair.labels) : FaultOf(pair.inputs, context_.plan);
    if (!fault.ok()) {
      AddFaulty(pair.id, std::string(fault.message()), HasNonFinite(pair.inputs.logps));
      return options().skip_faulty_pairs ? absl::OkStatus() : fault;
    }
    for (const auto& [name, value] : pair.labels) RETURN_IF_ERROR(AddLabelName(name));
    const PairRow row(pair.inputs);
    overall_.Add(row, pair.id, context_);
    for (const auto& [name, value] : pair.labels) FindLabel(name)->Add(value, row, pair.id, context_);
    return absl::OkStatus();
  }

  void AddFaulty(const std::string& id, const std::string& message, bool is_non_finite) {
    ++num_faulty_pairs_;
    if (is_non_finite) ++num_non_finite_pairs_;
    faulty_pairs_.Add({{id, message}});
  }

  absl::Status Merge(State&& other) {
    for (const LabelSlices& label : other.labels_) RETURN_IF_ERROR(AddLabelName(label.name()));
    overall_.Merge(std::move(other.overall_), context_);
    for (LabelSlices& label : other.labels_) FindLabel(label.name())->Merge(std::move(label), context_);
    num_faulty_pairs_ += other.num_faulty_pairs_;
    num_non_finite_pairs_ += other.num_non_finite_pairs_;
    faulty_pairs_.Merge(std::move(other.faulty_pairs_));
    return absl::OkStatus();
  }

  AnalysisReport MakeReport() {
    AnalysisReport report;
    report.slices.push_back(overall_.Report(context_));
    report.num_pairs = report.slices.front().num_pairs;
    report.num_faulty_pairs = num_faulty_pairs_;
    report.num_non_finite_pairs = num_non_finite_pairs_;
    for (FaultyPair& pair : faulty_pairs_.Sorted()) report.faulty_pairs.push_back(std::move(pair));
    for (LabelSlices& label : labels_) label.Report(context_, report.slices);
    return report;
  }

 private:
  std::vector<LabelSlices>::iterator FindLabel(const std::string& name) {
    return std::find_if(labels_.begin(), labels_.end(), [&](const LabelSlices& label) { return label.name() == name; });
  }

  absl::Status AddLabelName(const std::string& name) {
    if (FindLabel(name) != labels_.end()) return absl::OkStatus();
    if (labels_.size() == kMaxLabelNames) return TooManyLabelNames(name);
    const auto position =
        std::find_if(labels_.begin(), labels_.end(), [&](const LabelSlices& label) { return name < label.name(); });
    labels_.emplace(position, name);
    return absl::OkStatus();
  }

  SliceContext context_;
  Slice overall_;
  std::vector<LabelSlices> labels_;  // by name
  std::uint64_t num_faulty_pairs_ = 0;
  std::uint64_t num_non_finite_pairs_ = 0;
  Smallest<FaultyPairOrder> faulty_pairs_;
};

Analyzer::Analyzer(AnalysisOptions options) : state_(std::make_unique<State>(std::move(options))) {}
Analyzer::~Analyzer() = default;
Analyzer::Analyzer(Analyzer&&) = default;
Analyzer& Analyzer::operator=(Analyzer&&) = default;

const AnalysisOptions& Analyzer::options() const { return state_->options(); }
absl::Status Analyzer::Add(const AnalyzedPair& pair) { return state_->Add(pair); }

void Analyzer::AddFaulty(const std::string& id, const std::string& message, bool is_non_finite) {
  state_->AddFaulty(id, message, is_non_finite);
}

absl::Status Analyzer::Merge(Analyzer&& other) { return state_->Merge(std::move(*other.state_)); }
AnalysisReport Analyzer::MakeReport() { return state_->MakeReport(); }

}  // namespace prefscore
