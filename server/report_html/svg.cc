// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/svg.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/report_html/html_text.h"

namespace prefscore::report_html {
namespace {

constexpr double kLineHeight = 12;

// One decimal; never "nan", which would make the element invisible without a word.
std::string Px(double coordinate) {
  if (!std::isfinite(coordinate)) return "0";
  std::string text = absl::StrFormat("%.1f", std::clamp(coordinate, -1e5, 1e5));
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text == "-0" ? "0" : text;
}

std::string Close(const char* tag, const std::string& tooltip) {
  if (tooltip.empty()) return "/>";
  return absl::StrCat("><title>", EscapeHtml(tooltip), "</title></", tag, ">");
}

}  // namespace

Svg::Svg(double width, double height, const std::string& description)
    : text_(absl::StrCat("<svg role=\"img\" viewBox=\"0 0 ", Px(width), " ", Px(height), "\" width=\"", Px(width),
                         "\" height=\"", Px(height), "\" aria-label=\"", EscapeHtml(description), "\">\n")) {}

void Svg::Line(double x1, double y1, double x2, double y2, const std::string& css_class) {
  absl::StrAppend(&text_, "<line class=\"", css_class, "\" x1=\"", Px(x1), "\" y1=\"", Px(y1), "\" x2=\"", Px(x2),
                  "\" y2=\"", Px(y2), "\"/>\n");
}

void Svg::Rect(double x, double y, double width, double height, const std::string& css_class,
               const std::string& tooltip) {
  absl::StrAppend(&text_, "<rect class=\"", css_class, "\" x=\"", Px(x), "\" y=\"", Px(y), "\" width=\"",
                  Px(std::max(width, 0.)), "\" height=\"", Px(std::max(height, 0.)), "\"", Close("rect", tooltip),
                  "\n");
}

void Svg::Circle(double x, double y, double radius, const std::string& css_class, const std::string& tooltip) {
  absl::StrAppend(&text_, "<circle class=\"", css_class, "\" cx=\"", Px(x), "\" cy=\"", Px(y), "\" r=\"", Px(radius),
                  "\"", Close("circle", tooltip), "\n");
}

void Svg::Polyline(const std::vector<std::pair<double, double>>& points, const std::string& css_class) {
  if (points.size() < 2) return;
  absl::StrAppend(&text_, "<polyline class=\"", css_class, "\" points=\"");
  for (std::size_t i = 0; i < points.size(); ++i) {
    absl::StrAppend(&text_, i == 0 ? "" : " ", Px(points[i].first), ",", Px(points[i].second));
  }
  text_ += "\"/>\n";
}

void Svg::Text(double x, double y, Anchor anchor, const std::string& css_class, const std::string& text) {
  const char* const names[] = {"start", "middle", "end"};
  absl::StrAppend(&text_, "<text class=\"", css_class, "\" x=\"", Px(x), "\" y=\"", Px(y), "\" text-anchor=\"",
                  names[static_cast<int>(anchor)], "\">", EscapeHtml(text), "</text>\n");
}

void Svg::Frame(double x, double y, double width, double height) {
  Rect(x, y, width, height, "frame-halo");
  Rect(x, y, width, height, "frame");
}

void Svg::XAxis(const Axis& axis, double left, double right, double top, double bottom, const std::string& title) {
  for (const Axis::Tick& tick : axis.ticks()) {
    Line(tick.px, bottom, tick.px, bottom + 4, "axis");
    Text(tick.px, bottom + 6 + kLineHeight, Anchor::kMiddle, "tick", tick.label);
  }
  Line(left, bottom, right, bottom, "axis");
  if (axis.has_zero_apart()) {
    Line(axis.gap_px() - 4, bottom + 4, axis.gap_px(), bottom - 4, "axis");
    Line(axis.gap_px(), bottom + 4, axis.gap_px() + 4, bottom - 4, "axis");
  }
  Text((left + right) / 2, bottom + 10 + 2.5 * kLineHeight, Anchor::kMiddle, "axis-title", title);
}

void Svg::YAxis(const Axis& axis, double left, double right, double top, double bottom, const std::string& title) {
  for (const Axis::Tick& tick : axis.ticks()) {
    Line(left, tick.px, right, tick.px, "grid");
    Text(left - 7, tick.px + 4, Anchor::kEnd, "tick", tick.label);
  }
  if (axis.has_zero_apart()) {
    Line(left - 4, axis.gap_px() + 4, left + 4, axis.gap_px(), "axis");
    Line(left - 4, axis.gap_px(), left + 4, axis.gap_px() - 4, "axis");
  }
  Text(0, kLineHeight, Anchor::kStart, "axis-title", title);
}

std::string Svg::Finish() const { return text_ + "</svg>\n"; }

std::vector<bool> NamesThatFit(const std::vector<std::string>& names, double slot_px, int marked) {
  double widest = 0;
  for (const std::string& name : names) widest = std::max(widest, TextWidth(name) + 6);
  const int stride = std::max(1, static_cast<int>(std::ceil(widest / std::max(slot_px, 1.))));
  std::vector<bool> fits(names.size());
  for (int i = 0; i < static_cast<int>(names.size()); ++i) {
    fits[i] = i == marked || (i % stride == 0 && (marked < 0 || std::abs(i - marked) >= stride));
  }
  return fits;
}

double TextWidth(const std::string& text) {
  double width = 0;
  for (const char byte : text) {
    if ((byte & 0xC0) == 0x80) continue;  // goes on with a character of UTF-8
    width += byte == '%'                                 ? 11.4
             : byte == '<' || byte == '>' || byte == 'M' ? 10
             : byte == '.' || byte == ','                ? 3.9
                                                         : 7.6;
  }
  return width;
}

}  // namespace prefscore::report_html
