// SPDX-License-Identifier: Apache-2.0
// An objective at other weights: what changes with beta and gamma/beta.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/report_html/cells.h"
#include "server/report_html/heat_map.h"
#include "server/report_html/html_text.h"
#include "server/report_html/line_chart.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"
#include "server/report_html/stacked_chart.h"
#include "server/report_html/sweep_grid.h"

namespace prefscore::report_html {
namespace {

constexpr std::size_t kMostBars = 24;
constexpr char kRatioTitle[] = "γ/β";

// One number of a sweep point, as a chart shows it.
struct Quantity {
  std::string title;  // of the figure
  std::string axis;   // its name and unit
  std::string note;   // HTML
  double (v1::SweepPoint::*value)() const;
  AxisUnit unit = AxisUnit::kNumber;
};

std::string Shown(const Quantity& quantity, double value) {
  return quantity.unit == AxisUnit::kPercent ? PercentText(value) : NumberText(value);
}

// Whether all betas have the same numbers, as for shares by the sign of z = beta * (h - ratio * h0).
bool IsSameForAllBetas(const SweepGrid& grid, const Quantity& quantity) {
  for (const double ratio : grid.ratios()) {
    const v1::SweepPoint* const first = grid.Find(grid.betas().front(), ratio);
    for (const double beta : grid.betas()) {
      const v1::SweepPoint* const point = grid.Find(beta, ratio);
      if (!first || !point || (first->*quantity.value)() != (point->*quantity.value)()) return false;
    }
  }
  return grid.betas().size() > 1;
}

ChartLine LineOf(const SweepGrid& grid, const Quantity& quantity, double beta) {
  ChartLine line{.name = ShortNumberText(beta), .is_emphasised = beta == grid.nearest_beta(), .points = {}};
  const auto index = std::find(grid.betas().begin(), grid.betas().end(), beta) - grid.betas().begin();
  if (grid.betas().size() > 1) line.shade = static_cast<double>(index) / static_cast<double>(grid.betas().size() - 1);
  for (const double ratio : grid.ratios()) {
    if (const v1::SweepPoint* const point = grid.Find(beta, ratio)) {
      line.points.emplace_back(ratio, (point->*quantity.value)());
    }
  }
  return line;
}

std::string LineFigure(const SweepGrid& grid, const Quantity& quantity) {
  LineChart chart{.description = absl::StrCat(quantity.title, " over γ/β, one line per β"),
                  .x_title = kRatioTitle,
                  .y_title = quantity.axis,
                  .y_unit = quantity.unit,
                  .y_range = std::nullopt,
                  .lines = {},
                  .names_title = "β",
                  .marked_x = grid.own_ratio(),
                  .mark_name = absl::StrCat("this objective: ", ShortNumberText(grid.own_ratio())),
                  .y_text = [&quantity](double value) { return Shown(quantity, value); }};
  if (quantity.unit == AxisUnit::kPercent) chart.y_range = {0, 1};
  std::string note = quantity.note;
  if (IsSameForAllBetas(grid, quantity)) {
    chart.lines = {LineOf(grid, quantity, grid.nearest_beta())};
    chart.lines[0].name = "all";
    chart.lines[0].is_emphasised = true;
    note += " The same for all β.";
  } else {
    for (const double beta : ThinnedOut(grid.betas(), kMostChartLines, grid.nearest_beta())) {
      chart.lines.push_back(LineOf(grid, quantity, beta));
    }
  }
  return Figure(quantity.title, DrawLineChart(chart), note);
}

std::string GradientFigure(const SweepGrid& grid, const v1::ObjectiveReport& objective) {
  const double beta = grid.nearest_beta();
  StackedChart chart{
      .description = absl::StrCat("Share of the gradient mass by cell of the learning table over γ/β, at β = ",
                                  ParameterText(beta)),
      .x_title = kRatioTitle,
      .y_title = "share of the gradient mass",
      .parts = {},
      .bars = {}};
  std::vector<CellGroup> groups;
  for (const CellGroup& group : CellGroups()) {
    const bool is_used = std::any_of(group.cells.begin(), group.cells.end(), [&](int cell) {
      return cell < objective.learning_table_size() && objective.learning_table(cell).num_pairs() > 0;
    });
    if (!is_used) continue;
    groups.push_back(group);
    chart.parts.push_back({group.name, group.css_class});
  }
  for (const double ratio : ThinnedOut(grid.ratios(), kMostBars, grid.nearest_ratio())) {
    const v1::SweepPoint* const point = grid.Find(beta, ratio);
    if (!point) continue;
    StackedChart::Bar bar{.name = ShortNumberText(ratio), .shares = {}, .is_marked = ratio == grid.nearest_ratio()};
    for (const CellGroup& group : groups) bar.shares.push_back(GroupShare(group, *point));
    chart.bars.push_back(std::move(bar));
  }
  return Figure("Which pairs teach, as γ grows", DrawStackedChart(chart),
                absl::StrCat("Gradient mass by cell at β = ", ParameterText(beta),
                             ", the grid's closest to this objective. The framed bar is the grid's closest γ/β."),
                "wide");
}

std::string HeatFigure(const SweepGrid& grid, const Quantity& quantity) {
  const std::vector<double> ratios = ThinnedOut(grid.ratios(), kMostHeatMapNames, grid.nearest_ratio());
  std::vector<double> betas = ThinnedOut(grid.betas(), kMostHeatMapNames, grid.nearest_beta());
  std::reverse(betas.begin(), betas.end());  // grows upwards, as on an axis
  HeatMap map{.description = absl::StrCat(quantity.title, " by β and γ/β"),
              .x_title = kRatioTitle,
              .y_title = "β",
              .x_names = {},
              .y_names = {},
              .values = {},
              .text = quantity.unit == AxisUnit::kPercent ? ShortPercentText : ShortNumberText,
              .range = std::nullopt};
  double smallest = INFINITY, largest = -INFINITY;
  for (const double ratio : ratios) map.x_names.push_back(ShortNumberText(ratio));
  for (const double beta : betas) {
    map.y_names.push_back(ShortNumberText(beta));
    auto& row = map.values.emplace_back();
    for (const double ratio : ratios) {
      const v1::SweepPoint* const point = grid.Find(beta, ratio);
      row.push_back(point ? std::optional((point->*quantity.value)()) : std::nullopt);
      if (!point) continue;
      smallest = std::min(smallest, *row.back());
      largest = std::max(largest, *row.back());
    }
  }
  if (quantity.unit == AxisUnit::kPercent) map.range = {0, 1};
  map.is_logarithmic = quantity.unit == AxisUnit::kNumber && smallest > 0 && largest > 20 * smallest;
  map.marked_x = static_cast<int>(std::find(ratios.begin(), ratios.end(), grid.nearest_ratio()) - ratios.begin());
  map.marked_y = static_cast<int>(std::find(betas.begin(), betas.end(), grid.nearest_beta()) - betas.begin());
  return Figure(quantity.title, DrawHeatMap(map), quantity.note,
                ratios.size() > 12 ? "wide" : "");  // as DrawHeatMap chooses its width
}

std::string PointsTable(const v1::ObjectiveReport& objective) {
  HtmlTable table("All points of the sweep", {{"β"},
                                              {"γ/β"},
                                              {"γ"},
                                              {"mean loss"},
                                              {"accuracy"},
                                              {"active"},
                                              {"still learning"},
                                              {"saturated"},
                                              {"gradient mass"},
                                              {"effective sample size"}});
  for (const v1::SweepPoint& point : objective.sweep()) {
    table.AddRow({ParameterText(point.beta()), ParameterText(point.gamma_over_beta()), ParameterText(point.gamma()),
                  NumberText(point.mean_loss()), EscapeHtml(PercentText(point.accuracy())),
                  EscapeHtml(PercentText(point.active_share())), EscapeHtml(PercentText(point.learning_share())),
                  EscapeHtml(PercentText(point.saturated_share())), NumberText(point.gradient_mass()),
                  NumberText(point.effective_sample_size())});
  }
  return Details(absl::StrCat("The sweep as a table, ", CountOf(objective.sweep_size(), "point")), table.Html());
}

std::string LeftOutOfCharts(const SweepGrid& grid) {
  std::string text;
  if (grid.betas().size() > kMostChartLines) {
    absl::StrAppend(&text, "Line charts show ", kMostChartLines, " of ", CountText(grid.betas().size()), " betas. ");
  }
  if (grid.ratios().size() > kMostBars) {
    absl::StrAppend(&text, "The bars show ", kMostBars, " of ", CountText(grid.ratios().size()), " ratios. ");
  }
  if (std::max(grid.betas().size(), grid.ratios().size()) > static_cast<std::size_t>(kMostHeatMapNames)) {
    absl::StrAppend(&text, "Heat maps show at most ", kMostHeatMapNames, " betas and ratios. ");
  }
  return text.empty() ? "" : LeftOut(text + "The table has all points.");
}

}  // namespace

std::string SweepHtml(const v1::ObjectiveReport& objective) {
  const SweepGrid grid(objective);
  if (grid.betas().empty()) return "";
  const Quantity loss = {"Mean loss", "mean loss", "Over all pairs.", &v1::SweepPoint::mean_loss};
  const Quantity lines[] = {
      loss,
      {"Accuracy", "share of pairs with z > 0", "Pairs that the implicit rewards rank right.",
       &v1::SweepPoint::accuracy, AxisUnit::kPercent},
      {"Active pairs", "share of pairs with z < 0", "Short of the margin that the reference asks for.",
       &v1::SweepPoint::active_share, AxisUnit::kPercent},
      {"Effective sample size", "pairs", "How many pairs of equal weight would have the same gradient.",
       &v1::SweepPoint::effective_sample_size}};
  std::string figures;
  for (const Quantity& quantity : lines) figures += LineFigure(grid, quantity);
  if (!objective.learning_table().empty()) figures += GradientFigure(grid, objective);
  figures += HeatFigure(grid, {"Pairs that still learn", "",
                               "Share of the pairs. The framed cell is the grid’s closest to this objective.",
                               &v1::SweepPoint::learning_share, AxisUnit::kPercent});
  figures += HeatFigure(grid, loss);
  return absl::StrCat(
      "<h3>At other weights</h3>\n<p>The same pairs under other β and γ. A thick line is the grid’s β closest to this "
      "objective’s ",
      ParameterText(grid.own_beta()), ", the dashed line its γ/β, ", ParameterText(grid.own_ratio()), ".</p>\n",
      LeftOutOfCharts(grid), Element("div", "\n" + figures, "class=\"charts\""), PointsTable(objective));
}

}  // namespace prefscore::report_html
