// SPDX-License-Identifier: Apache-2.0
// A grid of numbers, stronger in colour where they are larger, with the numbers in the cells where they fit.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace prefscore::report_html {

struct HeatMap {
  std::string description;
  std::string x_title, y_title;
  std::vector<std::string> x_names, y_names;                      // y from the top down
  std::vector<std::vector<std::optional<double>>> values;         // [y][x]; nothing where there is no number
  std::function<std::string(double)> text;                        // of a number, short
  std::optional<std::pair<double, double>> range = std::nullopt;  // of the colours; default: of the values
  bool is_logarithmic = false;                                    // the colours; for positive values
  int marked_x = -1, marked_y = -1;                               // this cell has a frame
};

// SVG, of half the page's width or, where it has many columns, of all of it.
std::string DrawHeatMap(const HeatMap& map);

}  // namespace prefscore::report_html
