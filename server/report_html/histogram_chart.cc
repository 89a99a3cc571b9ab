// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/histogram_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/report_html/axis.h"
#include "server/report_html/number_text.h"
#include "server/report_html/svg.h"

namespace prefscore::report_html {
namespace {

constexpr double kWidth = 352, kHeight = 214;
constexpr double kLeft = 50, kRight = 340, kTop = 52, kBottom = 166;
constexpr double kBoxY = 38;   // middle of the strip with the quantiles
constexpr int kMostBars = 96;  // 3 px each

// Neighbours added up until no more than kMostBars are left.
std::vector<std::uint64_t> DrawnCounts(const v1::Histogram& histogram) {
  const int num_merged = (histogram.counts_size() + kMostBars - 1) / kMostBars;
  std::vector<std::uint64_t> counts;
  for (int i = 0; i < histogram.counts_size(); ++i) {
    if (i % num_merged == 0) counts.push_back(0);
    counts.back() += histogram.counts(i);
  }
  return counts;
}

void DrawQuantiles(Svg& svg, const v1::Distribution& distribution, const Axis& axis) {
  const auto pixel = [&](double probability) {
    return axis.Pixel(QuantileOf(distribution, probability, distribution.mean()));
  };
  svg.Line(pixel(0.05), kBoxY, pixel(0.95), kBoxY, "whisker");
  svg.Line(pixel(0.05), kBoxY - 4, pixel(0.05), kBoxY + 4, "whisker");
  svg.Line(pixel(0.95), kBoxY - 4, pixel(0.95), kBoxY + 4, "whisker");
  svg.Rect(pixel(0.25), kBoxY - 5, pixel(0.75) - pixel(0.25), 10, "box");
  svg.Line(pixel(0.5), kBoxY - 8, pixel(0.5), kBottom, "median");
}

std::string Describe(const v1::Distribution& distribution, const std::string& name) {
  return absl::StrCat("Histogram of ", name, " over ", CountOf(distribution.count(), "pair"), ": from ",
                      NumberText(distribution.minimum()), " to ", NumberText(distribution.maximum()), ", median ",
                      NumberText(QuantileOf(distribution, 0.5, distribution.mean())), " ", distribution.unit());
}

}  // namespace

double QuantileOf(const v1::Distribution& distribution, double probability, double otherwise) {
  for (const v1::Quantile& quantile : distribution.quantiles()) {
    if (std::fabs(quantile.probability() - probability) < 1e-9) return quantile.value();
  }
  return otherwise;
}

std::string DrawHistogram(const v1::Distribution& distribution, const std::string& name) {
  const v1::Histogram& histogram = distribution.histogram();
  const std::vector<std::uint64_t> counts = DrawnCounts(histogram);
  if (distribution.count() == 0 || counts.empty()) return "<p class=\"empty\">No pair has this number.</p>\n";
  const Axis x_axis({histogram.lower(), histogram.upper()},
                    {.first_px = kLeft, .last_px = kRight, .log_from_factor = INFINITY});
  const auto largest = static_cast<double>(*std::max_element(counts.begin(), counts.end()));
  const Axis y_axis({0, largest}, {.first_px = kBottom,
                                   .last_px = kTop,
                                   .log_from_factor = INFINITY,
                                   .px_per_tick = 30,
                                   .smallest_step = 1,
                                   .ends_on_ticks = true});
  Svg svg(kWidth, kHeight, Describe(distribution, name));
  svg.YAxis(y_axis, kLeft - 4, kRight, kTop, kBottom, "");
  svg.Text(0, 12, Anchor::kStart, "axis-title", "pairs");
  if (histogram.lower() < 0 && histogram.upper() > 0) svg.Line(x_axis.Pixel(0), kTop, x_axis.Pixel(0), kBottom, "zero");
  const double width = (histogram.upper() - histogram.lower()) / static_cast<double>(counts.size());
  // Values that are all the same make one bar.
  const bool is_one_value = x_axis.Pixel(histogram.upper()) - x_axis.Pixel(histogram.lower()) < kMostBars;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double lower = histogram.lower() + width * static_cast<double>(i);
    const double left = is_one_value ? (kLeft + kRight) / 2 - 8 : x_axis.Pixel(lower);
    const double right = is_one_value ? left + 16 : x_axis.Pixel(lower + width);
    const double top = y_axis.Pixel(static_cast<double>(counts[i]));
    if (counts[i] == 0) continue;
    svg.Rect(left + 0.3, std::min(top, kBottom - 1), right - left - 0.6, kBottom - std::min(top, kBottom - 1), "bar",
             absl::StrCat(NumberText(lower), " to ", NumberText(lower + width), ": ", CountOf(counts[i], "pair")));
  }
  svg.XAxis(x_axis, kLeft - 4, kRight, kTop, kBottom, distribution.unit());
  DrawQuantiles(svg, distribution, x_axis);
  return svg.Finish();
}

}  // namespace prefscore::report_html
