// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/line_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/report_html/number_text.h"
#include "server/report_html/svg.h"

namespace prefscore::report_html {
namespace {

constexpr double kWidth = 540, kHeight = 310;
constexpr double kLeft = 56, kRight = 450, kTop = 46, kBottom = 262;
constexpr double kNameGap = 14;              // between lines of text
constexpr std::size_t kMostPointMarks = 16;  // of a line; more would run together
constexpr int kNumShades = 10;               // of the style sheet

std::string ShadeClass(const char* prefix, double shade) {
  return absl::StrCat(prefix, std::clamp(static_cast<int>(std::lround(shade * (kNumShades - 1))), 0, kNumShades - 1));
}

std::vector<std::pair<double, double>> FinitePoints(const ChartLine& line) {
  std::vector<std::pair<double, double>> points;
  for (const auto& point : line.points) {
    if (std::isfinite(point.first) && std::isfinite(point.second)) points.push_back(point);
  }
  return points;
}

struct PlacedName {
  double x, line_y, shade;
  bool is_emphasised;
  std::string name;
};

void DrawNames(Svg& svg, std::vector<PlacedName> names, const std::string& title) {
  std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) { return a.line_y < b.line_y; });
  std::vector<double> ys;
  for (const PlacedName& name : names) ys.push_back(name.line_y);
  SpreadApart(ys, kNameGap, kTop + 4, kBottom);
  for (std::size_t i = 0; i < names.size(); ++i) {
    svg.Polyline({{names[i].x + 3, names[i].line_y}, {kRight + 10, names[i].line_y}, {kRight + 18, ys[i]}}, "leader");
    svg.Text(kRight + 22, ys[i] + 4, Anchor::kStart,
             absl::StrCat(names[i].is_emphasised ? "name strong " : "name ", ShadeClass("ink-", names[i].shade)),
             names[i].name);
  }
  if (!names.empty()) svg.Text(kRight + 22, ys.front() - kNameGap + 2, Anchor::kStart, "tick", title);
}

void DrawLine(Svg& svg, const LineChart& chart, const ChartLine& line, const Axis& x_axis, const Axis& y_axis,
              std::vector<PlacedName>& names) {
  const auto points = FinitePoints(line);
  if (points.empty()) return;
  std::vector<std::pair<double, double>> pixels;
  for (const auto& [x, y] : points) pixels.emplace_back(x_axis.Pixel(x), y_axis.Pixel(y));
  const std::string css_class =
      absl::StrCat(line.is_emphasised ? "line strong " : "line ", ShadeClass("shade-", line.shade));
  // Over the gap of a logarithmic axis there is nothing to interpolate: dotted.
  const std::size_t num_apart = x_axis.has_zero_apart() && points.size() > 1 && points[0].first == 0 ? 1 : 0;
  if (num_apart > 0) svg.Polyline({pixels[0], pixels[1]}, css_class + " dotted");
  svg.Polyline({pixels.begin() + num_apart, pixels.end()}, css_class);
  for (std::size_t i = 0; i < points.size() && points.size() <= kMostPointMarks; ++i) {
    svg.Circle(pixels[i].first, pixels[i].second, line.is_emphasised ? 3.5 : 2.5, ShadeClass("dot-", line.shade),
               absl::StrCat(line.name, ", ", chart.x_title, " ", ParameterText(points[i].first), ": ",
                            chart.y_text ? chart.y_text(points[i].second) : NumberText(points[i].second)));
  }
  names.push_back({pixels.back().first, pixels.back().second, line.shade, line.is_emphasised, line.name});
}

}  // namespace

void SpreadApart(std::vector<double>& positions, double gap, double first, double last) {
  if (positions.empty()) return;
  positions.front() = std::max(positions.front(), first);
  for (std::size_t i = 1; i < positions.size(); ++i) positions[i] = std::max(positions[i], positions[i - 1] + gap);
  double limit = std::max(last, first + gap * static_cast<double>(positions.size() - 1));
  for (std::size_t i = positions.size(); i-- > 0; limit = positions[i] - gap)
    positions[i] = std::min(positions[i], limit);
}

std::string DrawLineChart(const LineChart& chart) {
  std::vector<double> xs, ys;
  for (const ChartLine& line : chart.lines) {
    for (const auto& [x, y] : FinitePoints(line)) {
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  if (xs.empty()) return "<p class=\"empty\">No number to draw.</p>\n";
  if (chart.marked_x && std::isfinite(*chart.marked_x)) xs.push_back(*chart.marked_x);
  const Axis x_axis(xs, {.first_px = kLeft, .last_px = kRight, .log_from_factor = 20});
  const Axis y_axis(ys, {.first_px = kBottom,
                         .last_px = kTop,
                         .unit = chart.y_unit,
                         .range = chart.y_range,
                         .log_from_factor = 100,
                         .px_per_tick = 38,
                         .ends_on_ticks = true});
  Svg svg(kWidth, kHeight, chart.description);
  svg.YAxis(y_axis, kLeft - 6, kRight, kTop, kBottom,
            absl::StrCat(chart.y_title, y_axis.is_logarithmic() ? " (log axis)" : ""));
  svg.XAxis(x_axis, kLeft - 6, kRight, kTop, kBottom,
            absl::StrCat(chart.x_title, !x_axis.is_logarithmic()  ? ""
                                        : x_axis.has_zero_apart() ? " (log axis, 0 apart)"
                                                                  : " (log axis)"));
  if (chart.marked_x && std::isfinite(*chart.marked_x)) {
    const double at = x_axis.Pixel(*chart.marked_x);
    svg.Line(at, kTop - 4, at, kBottom, "mark");
    const double half = TextWidth(chart.mark_name) / 2;
    svg.Text(std::clamp(at, kLeft - 6 + half, std::max(kLeft - 6 + half, kWidth - half)), kTop - 16 + 6,
             Anchor::kMiddle, "mark-name", chart.mark_name);
  }
  std::vector<PlacedName> names;
  for (const ChartLine& line : chart.lines) DrawLine(svg, chart, line, x_axis, y_axis, names);
  DrawNames(svg, std::move(names), chart.names_title);
  return svg.Finish();
}

}  // namespace prefscore::report_html
