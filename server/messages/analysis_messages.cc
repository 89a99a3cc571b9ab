// SPDX-License-Identifier: Apache-2.0
#include "server/messages/analysis_messages.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/messages/objective_messages.h"
#include "server/messages/pair_messages.h"
#include "server/messages/report_messages.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr std::size_t kMaxDigests = 16;

std::vector<double> ToVector(const google::protobuf::RepeatedField<double>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

absl::StatusOr<AnalysisOptions> AnalysisOptionsFromProto(const v1::AnalysisOptions& proto,
                                                         std::int64_t max_objectives) {
  AnalysisOptions options;
  ASSIGN_OR_RETURN(options.objectives,
                   ObjectivesFromProto(proto.scoring().objectives(), "scoring.objectives", max_objectives));
  if (proto.has_sweep()) {
    options.sweep_betas = ToVector(proto.sweep().betas());
    options.sweep_gamma_over_betas = ToVector(proto.sweep().gamma_over_betas());
  }
  if (!proto.temper_exponents().empty()) options.temper_exponents = ToVector(proto.temper_exponents());
  if (proto.has_learning_threshold()) options.learning_threshold = proto.learning_threshold();
  if (proto.has_saturation_threshold()) options.saturation_threshold = proto.saturation_threshold();
  if (proto.max_slices() > 0) options.max_slices = proto.max_slices();
  if (proto.num_listed_pairs() > 0) options.num_listed_pairs = proto.num_listed_pairs();
  if (!proto.preference_probabilities().empty()) {
    options.preference_probabilities = ToVector(proto.preference_probabilities());
  }
  options.skip_faulty_pairs = proto.skip_faulty_pairs();
  RETURN_IF_ERROR(Validate(options));
  return options;
}

void DigestSet::Add(const std::string& digest) {
  if (digest.empty()) return;
  digests_.insert(digest);
  if (digests_.size() > kMaxDigests) digests_.erase(std::prev(digests_.end()));
}

absl::StatusOr<AnalyzedPair> AnalyzedPairFromProto(const v1::PairLogProbs& pair) {
  AnalyzedPair analyzed{.id = pair.id(), .inputs = {}, .labels = {}};
  ASSIGN_OR_RETURN(analyzed.inputs, InputsFromProto(pair));
  analyzed.labels.assign(pair.labels().begin(), pair.labels().end());
  return analyzed;
}

bool HasNonFinite(const v1::KnownLogProbs& logps) {
  return !std::isfinite(logps.policy_chosen_logp()) || !std::isfinite(logps.policy_rejected_logp()) ||
         !std::isfinite(logps.reference_chosen_logp()) || !std::isfinite(logps.reference_rejected_logp());
}

v1::AnalysisReport ReportToProto(const AnalysisReport& report, const AnalysisOptions& options,
                                 const v1::ScoringOptions& scoring, const DigestSet& policies,
                                 const DigestSet& references) {
  v1::AnalysisReport proto = ReportToProto(report);
  v1::AnalysisOptions& used = *proto.mutable_options();
  *used.mutable_scoring() = scoring;
  used.mutable_sweep()->mutable_betas()->Add(options.sweep_betas.begin(), options.sweep_betas.end());
  used.mutable_sweep()->mutable_gamma_over_betas()->Add(options.sweep_gamma_over_betas.begin(),
                                                        options.sweep_gamma_over_betas.end());
  used.mutable_temper_exponents()->Add(options.temper_exponents.begin(), options.temper_exponents.end());
  used.set_learning_threshold(options.learning_threshold);
  used.set_saturation_threshold(options.saturation_threshold);
  used.set_max_slices(static_cast<std::uint32_t>(options.max_slices));
  used.set_num_listed_pairs(static_cast<std::uint32_t>(options.num_listed_pairs));
  used.mutable_preference_probabilities()->Add(options.preference_probabilities.begin(),
                                               options.preference_probabilities.end());
  used.set_skip_faulty_pairs(options.skip_faulty_pairs);
  for (const std::string& digest : policies.digests()) proto.add_policy_digests(digest);
  for (const std::string& digest : references.digests()) proto.add_reference_digests(digest);
  return proto;
}

}  // namespace prefscore
