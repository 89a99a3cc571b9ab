// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/heat_map.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "server/report_html/svg.h"

namespace prefscore::report_html {
namespace {

constexpr double kHalfPage = 540, kPage = 1100;
constexpr std::size_t kMostColumnsOfHalf = 12;
constexpr double kLeft = 56, kTop = 30, kRightSpace = 8, kBottomSpace = 82;
constexpr double kCellHeight = 24;
constexpr double kNarrowCell = 40;
constexpr int kNumSteps = 9;  // of the colours in the style sheet

bool Fits(const std::string& text, double cell_width) { return TextWidth(text) + 2 <= cell_width; }

// Which colour a value has.
class Shades {
 public:
  explicit Shades(const HeatMap& map) : is_logarithmic_(map.is_logarithmic) {
    bool is_first = true;
    for (const auto& row : map.values) {
      for (const std::optional<double>& value : row) {
        if (!value || !std::isfinite(*value)) continue;
        lower = is_first ? *value : std::min(lower, *value);
        upper = is_first ? *value : std::max(upper, *value);
        is_first = false;
      }
    }
    if (map.range) std::tie(lower, upper) = *map.range;
  }

  int Step(double value) const {
    const double from = Scaled(lower), to = Scaled(upper);
    if (!(to > from)) return 0;
    return std::clamp(static_cast<int>((Scaled(value) - from) / (to - from) * kNumSteps), 0, kNumSteps - 1);
  }

  double lower = 0, upper = 0;

 private:
  double Scaled(double value) const { return is_logarithmic_ ? std::log(std::max(value, 1e-300)) : value; }

  const bool is_logarithmic_;
};

// Whether numbers are drawn at all: with narrow cells all or none, as a part of them would only confuse.
bool HasNumbers(const HeatMap& map, double cell_width) {
  std::size_t num_numbers = 0, num_fitting = 0;
  for (const auto& row : map.values) {
    for (const std::optional<double>& value : row) {
      if (!value || !std::isfinite(*value)) continue;
      ++num_numbers;
      num_fitting += Fits(map.text(*value), cell_width);
    }
  }
  return num_fitting == num_numbers || cell_width > kNarrowCell;
}

void DrawLegend(Svg& svg, const HeatMap& map, const Shades& shades, double y) {
  if (!(shades.upper > shades.lower)) return;
  const std::string first = map.text(shades.lower), last = map.text(shades.upper);
  double x = kLeft + TextWidth(first) + 6;
  svg.Text(kLeft, y + 10, Anchor::kStart, "tick", first);
  for (int step = 0; step < kNumSteps; ++step, x += 18) svg.Rect(x, y, 18, 12, absl::StrCat("heat-", step));
  svg.Text(x + 6, y + 10, Anchor::kStart, "tick", map.is_logarithmic ? last + " (colours in log steps)" : last);
}

}  // namespace

std::string DrawHeatMap(const HeatMap& map) {
  const std::size_t num_columns = map.x_names.size(), num_rows = map.y_names.size();
  if (num_columns == 0 || num_rows == 0) return "<p class=\"empty\">No number to draw.</p>\n";
  const double page = num_columns > kMostColumnsOfHalf ? kPage : kHalfPage;
  const double cell = std::min((page - kLeft - kRightSpace) / static_cast<double>(num_columns), 96.);
  const double bottom = kTop + kCellHeight * static_cast<double>(num_rows);
  const double right = kLeft + cell * static_cast<double>(num_columns);
  const Shades shades(map);
  const bool has_numbers = HasNumbers(map, cell);
  Svg svg(page, bottom + kBottomSpace, map.description);
  svg.Text(0, 14, Anchor::kStart, "axis-title", map.y_title);
  for (std::size_t row = 0; row < num_rows; ++row) {
    const double y = kTop + kCellHeight * static_cast<double>(row);
    svg.Text(kLeft - 7, y + kCellHeight / 2 + 4, Anchor::kEnd,
             static_cast<int>(row) == map.marked_y ? "tick strong" : "tick", map.y_names[row]);
    for (std::size_t column = 0; column < num_columns; ++column) {
      const double x = kLeft + cell * static_cast<double>(column);
      const std::optional<double> value = map.values[row][column];
      const bool is_number = value && std::isfinite(*value);
      const std::string text = is_number ? map.text(*value) : "";
      const std::string step = is_number ? absl::StrCat(shades.Step(*value)) : "none";
      const bool is_written = has_numbers && Fits(text, cell);
      svg.Rect(x + 0.5, y + 0.5, cell - 1, kCellHeight - 1, "heat-" + step,
               is_written ? ""
                          : absl::StrCat(map.y_title, " ", map.y_names[row], ", ", map.x_title, " ",
                                         map.x_names[column], ": ", is_number ? text : "no number"));
      if (is_number && is_written) {
        svg.Text(x + cell / 2, y + kCellHeight / 2 + 4, Anchor::kMiddle, "in-cell on-heat-" + step, text);
      }
    }
  }
  const std::vector<bool> has_name = NamesThatFit(map.x_names, cell, map.marked_x);
  for (std::size_t column = 0; column < num_columns; ++column) {
    const double middle = kLeft + cell * (static_cast<double>(column) + 0.5);
    const bool is_marked = static_cast<int>(column) == map.marked_x;
    if (!has_name[column]) continue;
    svg.Text(middle, bottom + 17, Anchor::kMiddle, is_marked ? "tick strong" : "tick", map.x_names[column]);
  }
  if (map.marked_x >= 0 && map.marked_y >= 0) {
    svg.Frame(kLeft + cell * map.marked_x, kTop + kCellHeight * map.marked_y, cell, kCellHeight);
  }
  svg.Text((kLeft + right) / 2, bottom + 38, Anchor::kMiddle, "axis-title", map.x_title);
  DrawLegend(svg, map, shades, bottom + 58);
  return svg.Finish();
}

}  // namespace prefscore::report_html
