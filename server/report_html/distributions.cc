// SPDX-License-Identifier: Apache-2.0
// Histograms and quantiles.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/report_html/histogram_chart.h"
#include "server/report_html/html_text.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {
namespace {

using Distributions = google::protobuf::RepeatedPtrField<v1::Distribution>;

// "policy_margin" as "h, the policy’s margin"; a name that is not known stays as it is.
std::string DisplayName(const std::string& name) {
  static const auto* const names =
      new std::map<std::string, std::string>{{"policy_margin", "h, the policy’s margin"},
                                             {"reference_margin", "h0, the reference’s margin"},
                                             {"chosen_logratio", "a, log-ratio of the chosen"},
                                             {"rejected_logratio", "b, log-ratio of the rejected"},
                                             {"policy_chosen_logp", "log-prob of the chosen, policy"},
                                             {"policy_rejected_logp", "log-prob of the rejected, policy"},
                                             {"num_chosen_tokens", "tokens of the chosen"},
                                             {"num_rejected_tokens", "tokens of the rejected"},
                                             {"policy_margin_per_token", "h of log-probs per token"},
                                             {"reference_margin_per_token", "h0 of log-probs per token"},
                                             {"loss", "loss"},
                                             {"logit", "z, the logit"},
                                             {"required_margin", "required margin, (γ/β)·h0"},
                                             {"chosen_reward", "reward of the chosen"},
                                             {"rejected_reward", "reward of the rejected"},
                                             {"reward_margin", "margin of the rewards"}};
  const auto found = names->find(name);
  return found == names->end() ? name : found->second;
}

// With its unit.
std::string FullName(const v1::Distribution& distribution) {
  const std::string name = DisplayName(distribution.name());
  return EscapeHtml(distribution.unit().empty() ? name : absl::StrCat(name, " (", distribution.unit(), ")"));
}

std::string Note(const v1::Distribution& distribution) {
  if (distribution.count() == 0) return "";
  const auto quantile = [&](double probability) {
    return ShortNumberText(QuantileOf(distribution, probability, distribution.mean()));
  };
  return absl::StrCat("median ", quantile(0.5), " (", quantile(0.25), " to ", quantile(0.75), ") ",
                      EscapeHtml(distribution.unit()));
}

std::string QuantileTable(const Distributions& distributions) {
  std::vector<HtmlTable::Column> columns = {
      {"number", HtmlTable::Align::kText}, {"pairs"}, {"mean"}, {"std. dev."}, {"min"}};
  // All have the same probabilities; the first that has any tells them.
  std::vector<double> probabilities;
  for (const v1::Distribution& distribution : distributions) {
    if (!probabilities.empty()) break;
    for (const v1::Quantile& quantile : distribution.quantiles()) probabilities.push_back(quantile.probability());
  }
  for (const double probability : probabilities)
    columns.push_back({absl::StrCat(ParameterText(100 * probability), "%")});
  columns.push_back({"max"});
  columns.push_back({"error"});
  HtmlTable table("Quantiles, with the largest relative error that they may have", columns, "dense");
  for (const v1::Distribution& distribution : distributions) {
    std::vector<std::string> cells = {FullName(distribution), CountText(distribution.count())};
    if (distribution.count() == 0) {
      table.AddRow(cells);
      continue;
    }
    for (const double number : {distribution.mean(), distribution.deviation(), distribution.minimum()}) {
      cells.push_back(NumberText(number));
    }
    for (const double probability : probabilities) {
      cells.push_back(NumberText(QuantileOf(distribution, probability, NAN)));
    }
    cells.push_back(NumberText(distribution.maximum()));
    cells.push_back(distribution.quantile_relative_error() == 0
                        ? "exact"
                        : absl::StrCat("≤ ", EscapeHtml(PercentText(distribution.quantile_relative_error()))));
    table.AddRow(cells);
  }
  return table.Html();
}

}  // namespace

std::string DistributionsHtml(const Distributions& distributions) {
  if (distributions.empty()) return "";
  std::string figures;
  for (const v1::Distribution& distribution : distributions) {
    const std::string name = DisplayName(distribution.name());
    figures += Figure(name, DrawHistogram(distribution, name), Note(distribution));
  }
  return Element("div", "\n" + figures, "class=\"small-charts\"") + QuantileTable(distributions);
}

std::string DistributionsSection(const v1::SliceReport& overall) {
  if (overall.num_pairs() == 0) return "";
  std::string html =
      "<p class=\"read\">Each picture counts pairs in buckets of equal width. Its caption tells the median and, in "
      "brackets, the "
      "middle half of the pairs; the box above the bars is that half, its whiskers reach from the 5% to the 95% "
      "quantile, and "
      "the line through the bars is the median. A dotted line marks 0.</p>\n";
  if (!overall.distributions().empty()) {
    html += "<h3>Log-probs and lengths</h3>\n" + DistributionsHtml(overall.distributions());
  }
  for (int i = 0; i < overall.objectives_size(); ++i) {
    const v1::ObjectiveReport& objective = overall.objectives(i);
    if (i >= kMostDrawnObjectives || objective.distributions().empty()) continue;
    absl::StrAppend(&html, "<h3>", Code(objective.label()), "</h3>\n", DistributionsHtml(objective.distributions()));
  }
  if (overall.objectives_size() > kMostDrawnObjectives) {
    html += LeftOut(absl::StrCat("Distributions are shown for the first ", kMostDrawnObjectives, " objectives."));
  }
  return html;
}

std::string LengthSection(const v1::SliceReport& overall) {
  if (!overall.has_length() || overall.length().num_pairs() == 0) return "";
  const v1::LengthReport& length = overall.length();
  const bool has_reference = overall.num_pairs_with_reference() > 0;
  HtmlTable table(absl::StrCat("Over ", CountOf(length.num_pairs(), "pair"), " with token counts"),
                  {{"", HtmlTable::Align::kText}, {"policy"}, {"reference"}});
  const auto reference = [&](const std::string& text) { return has_reference ? EscapeHtml(text) : "–"; };
  table.AddRow({"correlation of the margin with the difference in tokens",
                NumberText(length.policy_margin_correlation()),
                reference(NumberText(length.reference_margin_correlation()))});
  table.AddRow({"ranked right by the sum of log-probs", EscapeHtml(PercentText(overall.ranking().policy_accuracy())),
                reference(PercentText(overall.ranking().reference_accuracy()))});
  table.AddRow({"ranked right by log-probs per token", EscapeHtml(PercentText(length.policy_accuracy_per_token())),
                reference(PercentText(length.reference_accuracy_per_token()))});
  return absl::StrCat(
      "<p>The chosen completion is the longer one in <strong>", EscapeHtml(PercentText(length.chosen_longer_share())),
      "</strong> of the pairs. A summed log-prob falls with every token, so margins depend on length: a "
      "correlation far from 0, or accuracies that differ between sums and means, tell that length decides."
      "</p>\n",
      table.Html());
}

}  // namespace prefscore::report_html
