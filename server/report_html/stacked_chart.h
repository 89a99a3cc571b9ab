// SPDX-License-Identifier: Apache-2.0
// Bars that are cut into shares of a whole, one bar per point of an axis.
#pragma once

#include <string>
#include <vector>

namespace prefscore::report_html {

struct StackedChart {
  struct Part {
    std::string name;
    std::string css_class;  // its fill
  };
  struct Bar {
    std::string name;            // below it
    std::vector<double> shares;  // one per part, in [0, 1], of a sum of at most 1
    bool is_marked = false;
  };

  std::string description;
  std::string x_title, y_title;
  std::vector<Part> parts;  // from the bottom up
  std::vector<Bar> bars;
};

// SVG; a sentence where there is no bar.
std::string DrawStackedChart(const StackedChart& chart);

}  // namespace prefscore::report_html
