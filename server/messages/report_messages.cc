// SPDX-License-Identifier: Apache-2.0
#include "server/messages/report_messages.h"

namespace prefscore {
namespace {

v1::Ranking ToProto(Ranking ranking) {
  switch (ranking) {
    case Ranking::kRight: return v1::RANKING_RIGHT;
    case Ranking::kTie: return v1::RANKING_TIE;
    case Ranking::kWrong: return v1::RANKING_WRONG;
  }
  return v1::RANKING_UNSPECIFIED;
}

v1::Verdict ToProto(Verdict verdict) {
  switch (verdict) {
    case Verdict::kUnspecified: return v1::VERDICT_UNSPECIFIED;
    case Verdict::kLearning: return v1::VERDICT_LEARNING;
    case Verdict::kNoLearning: return v1::VERDICT_NO_LEARNING;
  }
  return v1::VERDICT_UNSPECIFIED;
}

void ToProto(const Distribution& distribution, v1::Distribution& proto) {
  proto.set_name(distribution.name);
  proto.set_unit(distribution.unit);
  proto.set_count(distribution.count);
  proto.set_mean(distribution.mean);
  proto.set_deviation(distribution.deviation);
  proto.set_minimum(distribution.minimum);
  proto.set_maximum(distribution.maximum);
  for (const Quantile& quantile : distribution.quantiles) {
    v1::Quantile& out = *proto.add_quantiles();
    out.set_probability(quantile.probability);
    out.set_value(quantile.value);
  }
  proto.set_quantile_relative_error(distribution.quantile_relative_error);
  v1::Histogram& histogram = *proto.mutable_histogram();
  histogram.set_lower(distribution.histogram.lower);
  histogram.set_upper(distribution.histogram.upper);
  histogram.mutable_counts()->Add(distribution.histogram.counts.begin(), distribution.histogram.counts.end());
}

void ToProto(const ListedPair& pair, v1::ListedPair& proto) {
  proto.set_id(pair.id);
  proto.set_policy_margin(pair.policy_margin);
  if (pair.reference_margin.has_value()) proto.set_reference_margin(*pair.reference_margin);
  proto.set_value(pair.value);
}

void ToProto(const RankingReport& ranking, v1::RankingReport& proto) {
  proto.set_policy_accuracy(ranking.policy_accuracy);
  proto.set_reference_accuracy(ranking.reference_accuracy);
  proto.set_pessimistic_share(ranking.pessimistic_share);
  proto.set_agreement(ranking.agreement);
  proto.set_both_fell_share(ranking.both_fell_share);
  proto.set_chosen_fell_share(ranking.chosen_fell_share);
  proto.set_policy_tie_share(ranking.policy_tie_share);
  proto.set_reference_tie_share(ranking.reference_tie_share);
}

void ToProto(const LengthReport& length, v1::LengthReport& proto) {
  proto.set_num_pairs(length.num_pairs);
  proto.set_chosen_longer_share(length.chosen_longer_share);
  proto.set_policy_margin_correlation(length.policy_margin_correlation);
  proto.set_reference_margin_correlation(length.reference_margin_correlation);
  proto.set_policy_accuracy_per_token(length.policy_accuracy_per_token);
  proto.set_reference_accuracy_per_token(length.reference_accuracy_per_token);
}

void ToProto(const LearningCell& cell, v1::LearningCell& proto) {
  proto.set_policy(ToProto(cell.policy));
  proto.set_reference(ToProto(cell.reference));
  proto.set_num_pairs(cell.num_pairs);
  proto.set_share(cell.share);
  proto.set_mean_loss(cell.mean_loss);
  proto.set_mean_logit(cell.mean_logit);
  proto.set_gradient_mass(cell.gradient_mass);
  proto.set_gradient_mass_share(cell.gradient_mass_share);
  proto.set_active_share(cell.active_share);
  proto.set_learning_share(cell.learning_share);
  proto.set_verdict_large_gamma(ToProto(cell.verdict_large_gamma));
  proto.set_verdict_zero_gamma(ToProto(cell.verdict_zero_gamma));
  proto.set_is_diagonal(cell.is_diagonal);
  proto.set_num_initial_pairs(cell.num_initial_pairs);
}

void ToProto(const SweepPoint& point, v1::SweepPoint& proto) {
  proto.set_beta(point.beta);
  proto.set_gamma(point.gamma);
  proto.set_gamma_over_beta(point.gamma_over_beta);
  proto.set_mean_loss(point.mean_loss);
  proto.set_accuracy(point.accuracy);
  proto.set_active_share(point.active_share);
  proto.set_learning_share(point.learning_share);
  proto.set_saturated_share(point.saturated_share);
  proto.set_gradient_mass(point.gradient_mass);
  proto.mutable_gradient_mass_by_cell()->Add(point.gradient_mass_by_cell.begin(), point.gradient_mass_by_cell.end());
  proto.set_effective_sample_size(point.effective_sample_size);
}

void ToProto(const TemperPoint& point, v1::TemperPoint& proto) {
  proto.set_exponent(point.exponent);
  proto.set_unchanged_gamma(point.unchanged_gamma);
  ToProto(point.if_left_alone, *proto.mutable_if_left_alone());
}

void ToProto(const FlipReport& flip, v1::FlipReport& proto) {
  proto.set_below_threshold_share(flip.below_threshold_share);
  ToProto(flip.threshold, *proto.mutable_threshold());
  for (const IdealAccuracy& ideal : flip.ideal_accuracies) {
    v1::IdealAccuracy& out = *proto.add_ideal_accuracies();
    out.set_preference_probability(ideal.preference_probability);
    out.set_accuracy(ideal.accuracy);
  }
}

void ToProto(const ObjectiveReport& objective, v1::ObjectiveReport& proto);
void ToProto(const SliceReport& slice, v1::SliceReport& proto);
void ToProto(const FaultyPair& pair, v1::FaultyPair& proto);

// Each of `values` as a message of its own.
template <typename Value, typename Message>
void AllToProto(const std::vector<Value>& values, google::protobuf::RepeatedPtrField<Message>* protos) {
  for (const Value& value : values) ToProto(value, *protos->Add());
}

void ToProto(const ObjectiveReport& objective, v1::ObjectiveReport& proto) {
  proto.set_label(objective.label);
  proto.set_name(objective.name);
  proto.set_beta(objective.beta);
  proto.set_gamma(objective.gamma);
  proto.set_num_pairs(objective.num_pairs);
  proto.set_mean_loss(objective.mean_loss);
  proto.set_accuracy(objective.accuracy);
  proto.set_reward_likelihood_agreement(objective.reward_likelihood_agreement);
  proto.set_gradient_mass(objective.gradient_mass);
  proto.set_effective_sample_size(objective.effective_sample_size);
  proto.set_saturated_share(objective.saturated_share);
  AllToProto(objective.learning_table, proto.mutable_learning_table());
  AllToProto(objective.sweep, proto.mutable_sweep());
  AllToProto(objective.temper, proto.mutable_temper());
  if (objective.flip.has_value()) ToProto(*objective.flip, *proto.mutable_flip());
  AllToProto(objective.distributions, proto.mutable_distributions());
  AllToProto(objective.largest_gradient_masses, proto.mutable_largest_gradient_masses());
  AllToProto(objective.largest_required_margins, proto.mutable_largest_required_margins());
}

void ToProto(const SliceReport& slice, v1::SliceReport& proto) {
  proto.set_label_name(slice.label_name);
  proto.set_label_value(slice.label_value);
  proto.set_num_grouped_values(slice.num_grouped_values);
  proto.set_num_pairs(slice.num_pairs);
  proto.set_num_pairs_with_reference(slice.num_pairs_with_reference);
  ToProto(slice.ranking, *proto.mutable_ranking());
  if (slice.length.has_value()) ToProto(*slice.length, *proto.mutable_length());
  AllToProto(slice.distributions, proto.mutable_distributions());
  AllToProto(slice.objectives, proto.mutable_objectives());
  AllToProto(slice.most_negative_margins, proto.mutable_most_negative_margins());
  AllToProto(slice.ties, proto.mutable_ties());
}

void ToProto(const FaultyPair& pair, v1::FaultyPair& proto) {
  proto.set_id(pair.id);
  proto.set_message(pair.message);
}

}  // namespace

v1::AnalysisReport ReportToProto(const AnalysisReport& report) {
  v1::AnalysisReport proto;
  proto.set_num_pairs(report.num_pairs);
  proto.set_num_faulty_pairs(report.num_faulty_pairs);
  proto.set_num_non_finite_pairs(report.num_non_finite_pairs);
  AllToProto(report.faulty_pairs, proto.mutable_faulty_pairs());
  AllToProto(report.slices, proto.mutable_slices());
  return proto;
}

}  // namespace prefscore
