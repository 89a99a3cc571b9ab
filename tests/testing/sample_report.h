// SPDX-License-Identifier: Apache-2.0
// A realistic AnalysisReport for tests of what shows it: computed, plainly, from made-up pairs. The same options give
// the same report.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "prefscore/v1/diagnostics.pb.h"
#include "tests/testing/sample_pairs.h"

namespace prefscore::testing {

class SampleObjective {
 public:
  SampleObjective(const std::vector<SamplePair>& pairs, const SampleOptions& options, int index)
      : pairs_(pairs), options_(options), is_hinge_(index == 1) {
    report_.set_name(is_hinge_ ? "margin_hinge" : "sigmoid");
    report_.set_beta(index < 2 ? 0.1 : 0.1 * index);
    report_.set_gamma(!options.has_reference ? 0 : index == 1 ? 0.05 : report_.beta());
    report_.set_label(report_.name() + (index == 1   ? ":beta=0.1,gamma=0.05"
                                        : index == 0 ? ":beta=0.1"
                                                     : ":beta=0." + std::to_string(index)));
  }

  v1::ObjectiveReport Report() {
    const v1::SweepPoint here = Point(report_.beta(), report_.gamma());
    report_.set_num_pairs(pairs_.size());
    report_.set_mean_loss(here.mean_loss());
    report_.set_accuracy(here.accuracy());
    report_.set_reward_likelihood_agreement(Share([&](const SamplePair& pair) { return Z(pair) * pair.h() > 0; }));
    report_.set_gradient_mass(here.gradient_mass());
    report_.set_effective_sample_size(here.effective_sample_size());
    report_.set_saturated_share(here.saturated_share());
    AddDistributions();
    AddLists();
    if (!options_.has_reference) return report_;
    AddLearningTable(here);
    for (const double beta : options_.betas) {
      for (const double ratio : options_.gamma_over_betas) *report_.add_sweep() = Point(beta, beta * ratio);
    }
    for (const double exponent : {0.25, 0.5, 1., 2., 4.}) {
      v1::TemperPoint& temper = *report_.add_temper();
      temper.set_exponent(exponent);
      temper.set_unchanged_gamma(report_.gamma() / exponent);
      *temper.mutable_if_left_alone() = Point(report_.beta(), report_.gamma() * exponent);
    }
    AddFlip();
    return report_;
  }

 private:
  double Z(const SamplePair& pair) const { return report_.beta() * pair.h() - report_.gamma() * pair.h0(); }
  double Loss(double z) const { return is_hinge_ ? std::max(0., -z) : Softplus(-z); }
  double Mass(double beta, double z) const { return beta * (is_hinge_ ? (z < 0 ? 1 : 0) : Sigmoid(-z)); }

  template <typename Predicate>
  double Share(Predicate predicate) const {
    const auto count = std::count_if(pairs_.begin(), pairs_.end(), predicate);
    return pairs_.empty() ? 0 : static_cast<double>(count) / static_cast<double>(pairs_.size());
  }

  v1::SweepPoint Point(double beta, double gamma) const {
    v1::SweepPoint point;
    double loss = 0, squares = 0, right = 0, active = 0, learning = 0, saturated = 0;
    std::vector<double> masses(9);
    for (const SamplePair& pair : pairs_) {
      const double z = beta * pair.h() - gamma * pair.h0(), mass = Mass(beta, z);
      loss += Loss(z);
      right += z > 0;
      active += z < 0;
      learning += Sigmoid(-z) > 0.05;
      saturated += Sigmoid(-z) < 0.01;
      masses[CellOf(pair)] += mass;
      squares += mass * mass;
    }
    const double count = std::max<double>(1, pairs_.size());
    double mass = 0;
    for (const double cell : masses) mass += cell;
    point.set_beta(beta);
    point.set_gamma(gamma);
    point.set_gamma_over_beta(gamma / beta);
    for (const double ratio : options_.gamma_over_betas) {  // exactly the grid's
      if (gamma == beta * ratio) point.set_gamma_over_beta(ratio);
    }
    point.set_mean_loss(loss / count);
    point.set_accuracy(right / count);
    point.set_active_share(active / count);
    point.set_learning_share(learning / count);
    point.set_saturated_share(saturated / count);
    point.set_gradient_mass(mass);
    for (const double cell : masses) point.add_gradient_mass_by_cell(cell);
    point.set_effective_sample_size(squares > 0 ? mass * mass / squares : 0);
    return point;
  }

  void AddLearningTable(const v1::SweepPoint& here) {
    for (int i = 0; i < 9; ++i) {
      v1::LearningCell& cell = *report_.add_learning_table();
      cell.set_policy(static_cast<v1::Ranking>(1 + i / 3));
      cell.set_reference(static_cast<v1::Ranking>(1 + i % 3));
      cell.set_is_diagonal(i % 4 == 0);
      const bool is_tie = i / 3 == 1 || i % 3 == 1;
      if (!is_tie) {
        cell.set_verdict_large_gamma(i % 3 == 0 ? v1::VERDICT_LEARNING : v1::VERDICT_NO_LEARNING);
        cell.set_verdict_zero_gamma(i / 3 == 2 ? v1::VERDICT_LEARNING : v1::VERDICT_NO_LEARNING);
      }
      double loss = 0, logit = 0, active = 0, learning = 0;
      std::uint64_t count = 0;
      for (const SamplePair& pair : pairs_) {
        if (cell.is_diagonal() && CellOf(pair) % 3 == i % 3) cell.set_num_initial_pairs(cell.num_initial_pairs() + 1);
        if (CellOf(pair) != i) continue;
        ++count;
        loss += Loss(Z(pair));
        logit += Z(pair);
        active += Z(pair) < 0;
        learning += Sigmoid(-Z(pair)) > 0.05;
      }
      if (count == 0) continue;
      const auto pairs = static_cast<double>(count);
      cell.set_num_pairs(count);
      cell.set_share(pairs / static_cast<double>(pairs_.size()));
      cell.set_mean_loss(loss / pairs);
      cell.set_mean_logit(logit / pairs);
      cell.set_gradient_mass(here.gradient_mass_by_cell(i));
      cell.set_gradient_mass_share(here.gradient_mass() > 0 ? here.gradient_mass_by_cell(i) / here.gradient_mass() : 0);
      cell.set_active_share(active / pairs);
      cell.set_learning_share(learning / pairs);
    }
  }

  void AddFlip() {
    std::vector<double> thresholds;
    for (const SamplePair& pair : pairs_) thresholds.push_back(Softplus(report_.gamma() * pair.h0()));
    v1::FlipReport& flip = *report_.mutable_flip();
    flip.set_below_threshold_share(Share([](const SamplePair& pair) { return pair.h() > 0; }));
    *flip.mutable_threshold() = MakeDistribution("threshold", "", thresholds, options_.num_buckets);
    for (const double p : {0.6, 0.75, 0.9, 0.95, 0.99}) {
      v1::IdealAccuracy& ideal = *flip.add_ideal_accuracies();
      ideal.set_preference_probability(p);
      ideal.set_accuracy(
          Share([&](const SamplePair& pair) { return report_.gamma() * pair.h0() + std::log(p / (1 - p)) > 0; }));
    }
  }

  void AddDistributions() {
    const auto add = [&](const std::string& name, const std::string& unit, auto value) {
      std::vector<double> values;
      for (const SamplePair& pair : pairs_) values.push_back(value(pair));
      *report_.add_distributions() = MakeDistribution(name, unit, values, options_.num_buckets);
    };
    const double beta = report_.beta(), gamma = report_.gamma();
    add("loss", "", [&](const SamplePair& pair) { return Loss(Z(pair)); });
    add("logit", "", [&](const SamplePair& pair) { return Z(pair); });
    add("required_margin", "nats", [&](const SamplePair& pair) { return gamma / beta * pair.h0(); });
    add("chosen_reward", "", [&](const SamplePair& pair) { return beta * pair.pc - gamma * pair.rc; });
    add("rejected_reward", "", [&](const SamplePair& pair) { return beta * pair.pr - gamma * pair.rr; });
    add("reward_margin", "", [&](const SamplePair& pair) { return Z(pair); });
  }

  void AddLists() {
    const auto add = [&](google::protobuf::RepeatedPtrField<v1::ListedPair>& list, auto value) {
      std::vector<std::pair<double, const SamplePair*>> sorted;
      for (const SamplePair& pair : pairs_) sorted.emplace_back(-value(pair), &pair);
      std::sort(sorted.begin(), sorted.end());
      for (int i = 0; i < options_.num_listed && i < static_cast<int>(sorted.size()); ++i) {
        v1::ListedPair& listed = *list.Add();
        listed.set_id(sorted[i].second->id);
        listed.set_policy_margin(sorted[i].second->h());
        if (options_.has_reference) listed.set_reference_margin(sorted[i].second->h0());
        listed.set_value(-sorted[i].first);
      }
    };
    const double beta = report_.beta(), gamma = report_.gamma();
    add(*report_.mutable_largest_gradient_masses(), [&](const SamplePair& pair) { return Mass(beta, Z(pair)); });
    add(*report_.mutable_largest_required_margins(), [&](const SamplePair& pair) { return gamma / beta * pair.h0(); });
  }

  const std::vector<SamplePair>& pairs_;
  const SampleOptions& options_;
  const bool is_hinge_;
  v1::ObjectiveReport report_;
};

// Pearson's, with the difference in tokens.
inline double LengthCorrelation(const std::vector<SamplePair>& pairs, double (*margin)(const SamplePair&)) {
  double x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  for (const SamplePair& pair : pairs) {
    x += pair.lc - pair.lr;
    y += margin(pair);
    xx += (pair.lc - pair.lr) * (pair.lc - pair.lr);
    yy += margin(pair) * margin(pair);
    xy += (pair.lc - pair.lr) * margin(pair);
  }
  const auto count = static_cast<double>(pairs.size());
  const double scale = (count * xx - x * x) * (count * yy - y * y);
  return scale > 0 ? (count * xy - x * y) / std::sqrt(scale) : 0;
}

inline v1::SliceReport MakeSampleSlice(const std::vector<SamplePair>& pairs, const SampleOptions& options) {
  v1::SliceReport slice;
  slice.set_num_pairs(pairs.size());
  slice.set_num_pairs_with_reference(options.has_reference ? pairs.size() : 0);
  const auto share = [&](auto predicate) {
    const auto count = std::count_if(pairs.begin(), pairs.end(), predicate);
    return pairs.empty() ? 0 : static_cast<double>(count) / static_cast<double>(pairs.size());
  };
  v1::RankingReport& ranking = *slice.mutable_ranking();
  ranking.set_policy_accuracy(share([](const SamplePair& pair) { return pair.h() > 0; }));
  ranking.set_policy_tie_share(share([](const SamplePair& pair) { return pair.h() == 0; }));
  if (options.has_reference) {
    ranking.set_reference_accuracy(share([](const SamplePair& pair) { return pair.h0() > 0; }));
    ranking.set_pessimistic_share(share([](const SamplePair& pair) { return pair.h0() < 0; }));
    ranking.set_agreement(share([](const SamplePair& pair) { return pair.h() * pair.h0() > 0; }));
    ranking.set_both_fell_share(share([](const SamplePair& pair) { return pair.pc < pair.rc && pair.pr < pair.rr; }));
    ranking.set_chosen_fell_share(share([](const SamplePair& pair) { return pair.pc < pair.rc; }));
    ranking.set_reference_tie_share(share([](const SamplePair& pair) { return pair.h0() == 0; }));
  }
  v1::LengthReport& length = *slice.mutable_length();
  length.set_num_pairs(pairs.size());
  length.set_chosen_longer_share(share([](const SamplePair& pair) { return pair.lc > pair.lr; }));
  length.set_policy_margin_correlation(LengthCorrelation(pairs, [](const SamplePair& pair) { return pair.h(); }));
  if (options.has_reference)
    length.set_reference_margin_correlation(LengthCorrelation(pairs, [](const SamplePair& pair) { return pair.h0(); }));
  length.set_policy_accuracy_per_token(
      share([](const SamplePair& pair) { return pair.pc / pair.lc > pair.pr / pair.lr; }));
  length.set_reference_accuracy_per_token(
      share([](const SamplePair& pair) { return pair.rc / pair.lc > pair.rr / pair.lr; }));
  const auto add = [&](const std::string& name, const std::string& unit, auto value) {
    std::vector<double> values;
    for (const SamplePair& pair : pairs) values.push_back(value(pair));
    *slice.add_distributions() = MakeDistribution(name, unit, values, options.num_buckets);
  };
  add("policy_margin", "nats", [](const SamplePair& pair) { return pair.h(); });
  if (options.has_reference) add("reference_margin", "nats", [](const SamplePair& pair) { return pair.h0(); });
  if (options.has_reference) add("chosen_logratio", "nats", [](const SamplePair& pair) { return pair.pc - pair.rc; });
  if (options.has_reference) add("rejected_logratio", "nats", [](const SamplePair& pair) { return pair.pr - pair.rr; });
  add("policy_chosen_logp", "nats", [](const SamplePair& pair) { return pair.pc; });
  add("policy_rejected_logp", "nats", [](const SamplePair& pair) { return pair.pr; });
  add("num_chosen_tokens", "tokens", [](const SamplePair& pair) { return pair.lc; });
  add("num_rejected_tokens", "tokens", [](const SamplePair& pair) { return pair.lr; });
  add("policy_margin_per_token", "nats per token",
      [](const SamplePair& pair) { return pair.pc / pair.lc - pair.pr / pair.lr; });
  for (int i = 0; i < options.num_objectives; ++i) {
    *slice.add_objectives() = SampleObjective(pairs, options, i).Report();
  }
  std::vector<SamplePair> by_margin = pairs;
  std::stable_sort(by_margin.begin(), by_margin.end(), [](const auto& a, const auto& b) { return a.h() < b.h(); });
  const auto list = [&](const SamplePair& pair, v1::ListedPair& listed) {
    listed.set_id(pair.id);
    listed.set_policy_margin(pair.h());
    if (options.has_reference) listed.set_reference_margin(pair.h0());
    listed.set_value(pair.h());
  };
  for (const SamplePair& pair : by_margin) {
    if (slice.most_negative_margins_size() < options.num_listed) list(pair, *slice.add_most_negative_margins());
  }
  for (const SamplePair& pair : pairs) {
    if (pair.h() == 0 && slice.ties_size() < options.num_listed) list(pair, *slice.add_ties());
  }
  return slice;
}

inline v1::AnalysisReport SampleReport(const SampleOptions& options = {}) {
  const std::vector<SamplePair> pairs = MakeSamplePairs(options);
  v1::AnalysisReport report;
  report.set_num_pairs(pairs.size());
  report.set_num_faulty_pairs(7);
  report.set_num_non_finite_pairs(3);
  for (const std::string& id : HostileIds()) {
    v1::FaultyPair& faulty = *report.add_faulty_pairs();
    faulty.set_id(id);
    faulty.set_message("logps.policy_chosen_logp: must be <= 0, is 1.5");
  }
  *report.add_slices() = MakeSampleSlice(pairs, options);
  std::map<std::string, std::vector<SamplePair>> by_category, by_length;
  for (const SamplePair& pair : pairs) {
    const std::string number = std::to_string(pair.category);
    by_category[pair.category == 1 ? HostileIds()[0]
                                   : "topic-" + std::string(4 - std::min<std::size_t>(number.size(), 4), '0') + number]
        .push_back(pair);
    by_length[pair.is_long ? "long" : "short"].push_back(pair);
  }
  for (const auto& [name, slices] : {std::pair("category", &by_category), std::pair("length", &by_length)}) {
    for (const auto& [value, members] : *slices) {
      v1::SliceReport& slice = *report.add_slices() = MakeSampleSlice(members, options);
      slice.set_label_name(name);
      slice.set_label_value(value);
    }
  }
  v1::AnalysisOptions& used = *report.mutable_options();
  used.mutable_scoring()->set_policy("dpo");
  used.mutable_scoring()->set_reference("sft");
  used.mutable_scoring()->set_profile("trl");
  for (const double beta : options.betas) used.mutable_sweep()->add_betas(beta);
  for (const double ratio : options.gamma_over_betas) used.mutable_sweep()->add_gamma_over_betas(ratio);
  for (const double exponent : {0.25, 0.5, 1., 2., 4.}) used.add_temper_exponents(exponent);
  for (const double p : {0.6, 0.75, 0.9, 0.95, 0.99}) used.add_preference_probabilities(p);
  used.set_learning_threshold(0.05);
  used.set_saturation_threshold(0.01);
  used.set_max_slices(64);
  used.set_num_listed_pairs(options.num_listed);
  used.set_skip_faulty_pairs(true);
  report.add_policy_digests("4db0a56c9a1f1d7be32b6a3c0f5d8e9124c7aa51b0de93f4671c2e8d5f60b7a3");
  if (options.has_reference) {
    report.add_reference_digests("aa5ce8487d20b1f9c3e4568a7b1290fedc34a6b5871d0e2f93c4b5a6d7e8f901");
  }
  return report;
}

}  // namespace prefscore::testing
