// SPDX-License-Identifier: Apache-2.0
// An axis: from values to pixels, with ticks. Any values give a usable axis; those that are not finite are passed over.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace prefscore::report_html {

enum class AxisUnit { kNumber, kPercent };  // kPercent: values are shares in [0, 1]

struct AxisOptions {
  double first_px = 0;  // where the smallest value lies; may be larger than last_px
  double last_px = 100;
  AxisUnit unit = AxisUnit::kNumber;
  // Exact ends, for a linear axis. Default: the values' range.
  std::optional<std::pair<double, double>> range = std::nullopt;
  // Whether an axis is logarithmic whose values, none of them negative, span more than this factor.
  double log_from_factor = 50;
  double px_per_tick = 56;   // at least, along the axis
  double smallest_step = 0;  // between ticks of a linear axis
  // Whether a linear axis ends on ticks.
  bool ends_on_ticks = false;
};

class Axis {
 public:
  struct Tick {
    double px;
    std::string label;
  };

  Axis(const std::vector<double>& values, const AxisOptions& options);

  // Within [first_px, last_px]; a value outside of the range lies on its end.
  double Pixel(double value) const;

  bool is_logarithmic() const { return is_logarithmic_; }
  // A logarithmic axis for values that have a 0: it lies apart, before a gap, at first_px.
  bool has_zero_apart() const { return has_zero_apart_; }
  // Middle of that gap.
  double gap_px() const;
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  void MakeLogarithmic(const std::vector<double>& values);
  void MakeLinear(const std::vector<double>& values);

  const AxisOptions options_;
  bool is_logarithmic_ = false;
  bool has_zero_apart_ = false;
  double lower_ = 0;     // of the scale: the value, or its logarithm to base 10
  double upper_ = 1;     // > lower_
  double start_px_ = 0;  // where lower_ lies
  std::vector<Tick> ticks_;
};

}  // namespace prefscore::report_html
