// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/stacked_chart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/report_html/axis.h"
#include "server/report_html/number_text.h"
#include "server/report_html/svg.h"

namespace prefscore::report_html {
namespace {

constexpr double kWidth = 1100, kHeight = 340;
constexpr double kLeft = 56, kRight = 850, kTop = 30, kBottom = 288;
constexpr double kMostBarWidth = 120;
constexpr double kTextHeight = 15;

void DrawBar(Svg& svg, const StackedChart& chart, const StackedChart::Bar& bar, const Axis& axis, double x,
             double width) {
  double below = 0;
  for (std::size_t i = 0; i < chart.parts.size() && i < bar.shares.size(); ++i) {
    const double share = std::isfinite(bar.shares[i]) ? std::max(bar.shares[i], 0.) : 0;
    if (share <= 0) continue;
    const double bottom = axis.Pixel(below), top = axis.Pixel(below + share);
    svg.Rect(x, top, width, bottom - top, "part " + chart.parts[i].css_class,
             absl::StrCat(chart.x_title, " ", bar.name, ", ", chart.parts[i].name, ": ", PercentText(share)));
    const std::string text = ShortPercentText(share);
    if (bottom - top >= kTextHeight && width >= TextWidth(text) + 2) {
      svg.Text(x + width / 2, (top + bottom) / 2 + 4, Anchor::kMiddle, "in-part on-" + chart.parts[i].css_class, text);
    }
    below += share;
  }
}

}  // namespace

std::string DrawStackedChart(const StackedChart& chart) {
  if (chart.bars.empty()) return "<p class=\"empty\">No number to draw.</p>\n";
  Svg svg(kWidth, kHeight, chart.description);
  const Axis y_axis(
      {}, {.first_px = kBottom, .last_px = kTop, .unit = AxisUnit::kPercent, .range = {{0, 1}}, .px_per_tick = 38});
  svg.YAxis(y_axis, kLeft - 6, kRight, kTop, kBottom, chart.y_title);
  const double slot = (kRight - kLeft) / static_cast<double>(chart.bars.size());
  const double width = std::min(slot * 0.86, kMostBarWidth);
  std::vector<std::string> names;
  int marked = -1;
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    names.push_back(chart.bars[i].name);
    if (chart.bars[i].is_marked) marked = static_cast<int>(i);
  }
  const std::vector<bool> has_name = NamesThatFit(names, slot, marked);
  for (std::size_t i = 0; i < chart.bars.size(); ++i) {
    const StackedChart::Bar& bar = chart.bars[i];
    const double middle = kLeft + slot * (static_cast<double>(i) + 0.5);
    DrawBar(svg, chart, bar, y_axis, middle - width / 2, width);
    if (!has_name[i]) continue;
    svg.Text(middle, kBottom + 18, Anchor::kMiddle, bar.is_marked ? "tick strong" : "tick", bar.name);
  }
  if (marked >= 0) {
    svg.Frame(kLeft + slot * marked + (slot - width) / 2 - 3, kTop - 3, width + 6, kBottom - kTop + 6);
  }
  svg.Text((kLeft + kRight) / 2, kBottom + 40, Anchor::kMiddle, "axis-title", chart.x_title);
  double y = kTop + 8;
  for (std::size_t i = chart.parts.size(); i-- > 0; y += 26) {
    svg.Rect(kRight + 24, y, 22, 16, "part " + chart.parts[i].css_class);
    svg.Text(kRight + 54, y + 12, Anchor::kStart, "name", chart.parts[i].name);
  }
  return svg.Finish();
}

}  // namespace prefscore::report_html
