// SPDX-License-Identifier: Apache-2.0
// Lines over one axis, each named at its right end.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/report_html/axis.h"

namespace prefscore::report_html {

struct ChartLine {
  std::string name;
  // Its colour, from 0 to 1 along the ramp: lines are ordered, and so are their colours.
  double shade = 0;
  bool is_emphasised = false;
  std::vector<std::pair<double, double>> points;  // ascending x; points that are not finite are left out
};

struct LineChart {
  std::string description;
  std::string x_title, y_title;
  AxisUnit y_unit = AxisUnit::kNumber;
  std::optional<std::pair<double, double>> y_range = std::nullopt;
  std::vector<ChartLine> lines;
  std::string names_title;                        // above the names, such as "β"
  std::optional<double> marked_x = std::nullopt;  // a dashed line there
  std::string mark_name;                          // and what it is
  std::function<std::string(double)> y_text;      // for tooltips
};

// SVG; a sentence where there is no point to draw.
std::string DrawLineChart(const LineChart& chart);

// Moves the positions, which are ascending, apart until none is closer to the next than `gap`, within [first, last]
// where they fit. For labels beside what they name.
void SpreadApart(std::vector<double>& positions, double gap, double first, double last);

}  // namespace prefscore::report_html
