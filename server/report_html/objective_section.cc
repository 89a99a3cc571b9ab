// SPDX-License-Identifier: Apache-2.0
// One objective: learning table, sweep, temper, and when a pair is ranked right.
#include <string>

#include "absl/strings/str_cat.h"
#include "server/report_html/histogram_chart.h"
#include "server/report_html/html_text.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {
namespace {

std::string Percent(double share) { return EscapeHtml(PercentText(share)); }

std::string TemperHtml(const v1::ObjectiveReport& objective) {
  if (objective.temper().empty()) return "";
  HtmlTable table("If the reference were tempered, reference^exponent, and γ left alone",
                  {{"exponent"},
                   {"γ that leaves<br>the loss unchanged"},
                   {"mean loss"},
                   {"accuracy"},
                   {"active"},
                   {"still learning"},
                   {"saturated"},
                   {"gradient mass"},
                   {"effective<br>sample size"}});
  for (const v1::TemperPoint& temper : objective.temper()) {
    const v1::SweepPoint& point = temper.if_left_alone();
    table.AddRow({ParameterText(temper.exponent()), ParameterText(temper.unchanged_gamma()),
                  NumberText(point.mean_loss()), Percent(point.accuracy()), Percent(point.active_share()),
                  Percent(point.learning_share()), Percent(point.saturated_share()), NumberText(point.gradient_mass()),
                  NumberText(point.effective_sample_size())},
                 temper.exponent() == 1 ? "as-is" : "");
  }
  return absl::StrCat(
      "<h3>If the reference were sharper or flatter</h3>\n<p>A tempered reference ranks pairs as before and "
      "multiplies h0 by the exponent. Only γ / exponent undoes that; the row of exponent 1 is the report as "
      "it is.</p>\n",
      table.Html());
}

std::string FlipHtml(const v1::ObjectiveReport& objective) {
  if (!objective.has_flip()) return "";
  const v1::FlipReport& flip = objective.flip();
  const v1::Distribution& threshold = flip.threshold();
  std::string html = absl::StrCat(
      "<h3>When a pair is ranked right</h3>\n<p>The policy ranks a pair right exactly where the pair’s DPO loss is "
      "below its own "
      "threshold, softplus(γ·h0): a low loss is not needed where the reference is right, and is not enough where it is "
      "far "
      "wrong. <strong>",
      Percent(flip.below_threshold_share()), "</strong> of the pairs are below; the median threshold is ",
      NumberText(QuantileOf(threshold, 0.5, threshold.mean())), ".</p>\n");
  HtmlTable table("Ranking accuracy of a policy at the optimum, h* = (γ·h0 + logit p) / β",
                  {{"p, probability that annotators<br>prefer the chosen"}, {"accuracy"}});
  for (const v1::IdealAccuracy& ideal : flip.ideal_accuracies()) {
    table.AddRow({ParameterText(ideal.preference_probability()), Percent(ideal.accuracy())});
  }
  const std::string figure =
      threshold.count() == 0
          ? ""
          : Figure("Thresholds of the loss", DrawHistogram(threshold, "the thresholds of the loss"), "");
  return absl::StrCat(html, "<div class=\"beside\">", figure, "<div>", table.empty() ? "" : table.Html(),
                      "</div></div>\n");
}

}  // namespace

std::string ObjectiveSection(const v1::AnalysisReport& report, int index) {
  const v1::ObjectiveReport& objective = report.slices(0).objectives(index);
  if (objective.num_pairs() == 0) return Element("p", "No pair could be evaluated.", "class=\"empty\"");
  std::string html = absl::StrCat("<h3>Learning table</h3>\n", LearningTableHtml(objective, report.options()));
  if (index >= kMostDrawnObjectives) {
    return html + LeftOut(absl::StrCat("Charts are drawn for the first ", kMostDrawnObjectives, " objectives."));
  }
  return absl::StrCat(html, SweepHtml(objective), TemperHtml(objective), FlipHtml(objective));
}

}  // namespace prefscore::report_html
