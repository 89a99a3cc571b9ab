// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/axis.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/str_format.h"
#include "server/report_html/number_text.h"

namespace prefscore::report_html {
namespace {

constexpr double kLargest = 1e300;        // keeps differences of values finite
constexpr double kMostDecades = 8;        // of a logarithmic axis; what is smaller counts as 0
constexpr double kZeroApartPx = 34;       // from the 0 to the smallest other value
constexpr double kSmallestSpread = 1e-9;  // relative: below it the values are one value

std::vector<double> FiniteValues(const std::vector<double>& values) {
  std::vector<double> finite;
  for (const double value : values) {
    if (std::isfinite(value)) finite.push_back(std::clamp(value, -kLargest, kLargest));
  }
  return finite;
}

// 1, 2 or 5 times a power of ten, at least `smallest`.
double NiceStep(double smallest) {
  const double power = std::pow(10, std::floor(std::log10(smallest)));
  for (const double factor : {1., 2., 5.}) {
    if (factor * power >= smallest * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string LinearLabel(double value, double step, AxisUnit unit) {
  const double scale = unit == AxisUnit::kPercent ? 100 : 1;
  const double shown = std::fabs(value) < step * 1e-6 ? 0 : value * scale;
  const int decimals = static_cast<int>(std::max(0., -std::floor(std::log10(step * scale) + 1e-9)));
  if (unit == AxisUnit::kPercent) return absl::StrFormat("%.*f%%", decimals, shown);
  if (decimals > 4 || std::fabs(shown) >= 1e4) return ShortNumberText(shown);
  if (decimals > 0) return absl::StrFormat("%.*f", decimals, shown);
  return shown < 0 ? "-" + CountText(std::llround(-shown)) : CountText(std::llround(shown));
}

}  // namespace

Axis::Axis(const std::vector<double>& values, const AxisOptions& options) : options_(options) {
  const std::vector<double> finite = FiniteValues(values);
  double smallest_positive = kLargest, largest = 0;
  bool is_any_negative = false;
  for (const double value : finite) {
    if (value > 0) smallest_positive = std::min(smallest_positive, value);
    largest = std::max(largest, value);
    is_any_negative |= value < 0;
  }
  is_logarithmic_ = !options.range && !is_any_negative && largest > smallest_positive * options.log_from_factor;
  if (is_logarithmic_) {
    MakeLogarithmic(finite);
  } else {
    MakeLinear(finite);
  }
}

void Axis::MakeLogarithmic(const std::vector<double>& values) {
  const double largest = *std::max_element(values.begin(), values.end());
  const double floor = largest / std::pow(10, kMostDecades);
  double smallest = largest;
  bool is_any_below = false, is_any_zero = false;
  for (const double value : values) {
    if (value >= floor) smallest = std::min(smallest, value);
    is_any_below |= value < floor;
    is_any_zero |= value == 0;
  }
  has_zero_apart_ = is_any_below;
  lower_ = std::log10(smallest);
  upper_ = std::log10(largest);
  start_px_ = options_.first_px;
  if (has_zero_apart_) {
    start_px_ += std::copysign(kZeroApartPx, options_.last_px - options_.first_px);
    ticks_.push_back({options_.first_px, is_any_zero ? "0" : "<" + ShortNumberText(smallest)});
  }
  const double length = std::fabs(options_.last_px - start_px_);
  const double decades = upper_ - lower_;
  const int stride = static_cast<int>(std::max(1., std::ceil(decades * options_.px_per_tick / std::max(length, 1.))));
  const bool has_steps_between = decades < 2.5 && length / decades > 3 * options_.px_per_tick;
  for (int power = static_cast<int>(std::floor(lower_)); power <= std::ceil(upper_); ++power) {
    for (const double factor : {1., 2., 5.}) {
      const double tick = factor * std::pow(10, power);
      const bool is_wanted = factor == 1 ? power % stride == 0 : has_steps_between;
      const double at = std::log10(tick);
      if (is_wanted && at >= lower_ - 1e-9 && at <= upper_ + 1e-9)
        ticks_.push_back({Pixel(tick), ShortNumberText(tick)});
    }
  }
}

void Axis::MakeLinear(const std::vector<double>& values) {
  start_px_ = options_.first_px;
  if (options_.range) {
    std::tie(lower_, upper_) = *options_.range;
  } else if (!values.empty()) {
    lower_ = *std::min_element(values.begin(), values.end());
    upper_ = *std::max_element(values.begin(), values.end());
  }
  const double size = std::max(std::fabs(lower_), std::fabs(upper_));
  const bool is_one_value = upper_ - lower_ <= kSmallestSpread * size;
  if (is_one_value) {
    const double around = size == 0 ? 1 : 0.1 * size;
    lower_ -= around;
    upper_ += around;
  }
  const double length = std::fabs(options_.last_px - options_.first_px);
  const double step =
      std::max(NiceStep((upper_ - lower_) * options_.px_per_tick / std::max(length, options_.px_per_tick)),
               options_.smallest_step);
  if (options_.ends_on_ticks) {
    lower_ = std::floor(lower_ / step + 1e-9) * step;
    upper_ = std::ceil(upper_ / step - 1e-9) * step;
  }
  const double first = std::ceil(lower_ / step - 1e-9);
  for (int i = 0; i < 50 && (first + i) * step <= upper_ + step * 1e-6; ++i) {
    const double tick = (first + i) * step;
    ticks_.push_back({Pixel(tick), LinearLabel(tick, step, options_.unit)});
  }
}

double Axis::Pixel(double value) const {
  if (std::isnan(value)) return options_.first_px;
  double at = value;
  if (is_logarithmic_) {
    if (value < std::pow(10, lower_) * (1 - 1e-9)) return options_.first_px;
    at = std::log10(value);
  }
  const double share = std::clamp((at - lower_) / (upper_ - lower_), 0., 1.);
  return start_px_ + share * (options_.last_px - start_px_);
}

double Axis::gap_px() const { return (options_.first_px + start_px_) / 2; }

}  // namespace prefscore::report_html
