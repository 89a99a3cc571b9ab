// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/number_text.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace prefscore::report_html {
namespace {

constexpr char kNotFinite[] = "not finite";

std::string WithoutTrailingZeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

// "1.235e+09" as "1.235e9".
std::string Scientific(double number, int num_digits) {
  const std::string text = absl::StrFormat("%.*e", num_digits - 1, number);
  const std::size_t mark = text.find('e');
  return absl::StrCat(text.substr(0, mark), "e", std::atoi(text.c_str() + mark + 1));
}

// The same with "1e9" for "1.000e9".
std::string ShortScientific(double number, int num_digits) {
  const std::string text = Scientific(number, num_digits);
  const std::size_t mark = text.find('e');
  return absl::StrCat(WithoutTrailingZeros(text.substr(0, mark)), text.substr(mark));
}

// Of the number once it is rounded to so many significant digits: 999.96 is a thousand.
int DecimalExponent(double number, int num_digits) {
  const std::string text = absl::StrFormat("%.*e", num_digits - 1, number);
  return std::atoi(text.c_str() + text.find('e') + 1);
}

std::string Rounded(double share, int decimals, double smallest) {
  const double percent = 100 * share;
  if (!std::isfinite(percent)) return kNotFinite;
  if (share == 0 || share == 1) return absl::StrFormat("%.0f%%", percent);
  if (percent > 0 && percent < smallest) return absl::StrFormat("<%s%%", ParameterText(smallest));
  if (percent < 100 && percent > 100 - smallest) return absl::StrFormat(">%s%%", ParameterText(100 - smallest));
  return absl::StrFormat("%.*f%%", decimals, percent);
}

}  // namespace

std::string CountText(std::uint64_t count) {
  const std::string digits = absl::StrCat(count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string NumberText(double number) {
  if (!std::isfinite(number)) return kNotFinite;
  if (number == 0) return "0";
  const char* const sign = number < 0 ? "-" : "";
  const double size = std::fabs(number);
  const int exponent = DecimalExponent(size, 4);
  if (exponent >= 7 || exponent < -4) return absl::StrCat(sign, Scientific(size, 4));
  if (exponent >= 3 || size == std::round(size)) return absl::StrCat(sign, CountText(std::llround(size)));
  return absl::StrFormat("%s%.*f", sign, 3 - exponent, size);
}

std::string PercentText(double share) { return Rounded(share, 2, 0.01); }

std::string ShortPercentText(double share) { return Rounded(share, 0, 1); }

std::string ParameterText(double number) {
  if (!std::isfinite(number)) return kNotFinite;
  const int exponent = number == 0 ? 0 : DecimalExponent(std::fabs(number), 6);
  if (exponent > -5 && exponent < 7)
    return WithoutTrailingZeros(absl::StrFormat("%.*f", exponent < 5 ? 5 - exponent : 0, number));
  return ShortScientific(number, 6);
}

std::string ShortNumberText(double number) {
  if (!std::isfinite(number)) return kNotFinite;
  if (number == 0) return "0";
  const int exponent = DecimalExponent(std::fabs(number), 3);
  if (exponent >= 9 || exponent < -3) return ShortScientific(number, 2);
  const int group = exponent >= 6 ? 6 : exponent >= 4 ? 3 : 0;  // M, k, or none
  if (group == 0 && exponent == 3) return NumberText(std::round(number));
  const int decimals = std::max(0, 2 - (exponent - group));
  return absl::StrCat(WithoutTrailingZeros(absl::StrFormat("%.*f", decimals, number / std::pow(10, group))),
                      group == 6   ? "M"
                      : group == 3 ? "k"
                                   : "");
}

std::string CountOf(std::uint64_t count, const std::string& singular) {
  return absl::StrCat(CountText(count), " ", singular, count == 1 ? "" : "s");
}

}  // namespace prefscore::report_html
