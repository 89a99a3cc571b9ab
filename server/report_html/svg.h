// SPDX-License-Identifier: Apache-2.0
// Writes one SVG picture. Colours and fonts are those of the page's style sheet, by class; coordinates are pixels of
// the view box, from the upper left corner.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/report_html/axis.h"

namespace prefscore::report_html {

enum class Anchor { kStart, kMiddle, kEnd };

class Svg {
 public:
  // `description` says in words what the picture shows, for those who do not see it.
  Svg(double width, double height, const std::string& description);

  void Line(double x1, double y1, double x2, double y2, const std::string& css_class);
  // `tooltip`, plain text, is shown under the pointer; may be empty, as in the next two.
  void Rect(double x, double y, double width, double height, const std::string& css_class,
            const std::string& tooltip = "");
  void Circle(double x, double y, double radius, const std::string& css_class, const std::string& tooltip = "");
  void Polyline(const std::vector<std::pair<double, double>>& points, const std::string& css_class);
  void Text(double x, double y, Anchor anchor, const std::string& css_class, const std::string& text);

  // A frame that stands out from dark and from light.
  void Frame(double x, double y, double width, double height);

  // The axes of a plot between `left` and `right`, `top` and `bottom`: grid lines, tick labels, titles, the gap before
  // a 0 that lies apart.
  void XAxis(const Axis& axis, double left, double right, double top, double bottom, const std::string& title);
  void YAxis(const Axis& axis, double left, double right, double top, double bottom, const std::string& title);

  std::string Finish() const;

 private:
  std::string text_;
};

// Which of the names below slots of this width are drawn, so that none runs into the next: every n-th, and the marked
// one
// (-1: none) instead of those too close to it.
std::vector<bool> NamesThatFit(const std::vector<std::string>& names, double slot_px, int marked);

// Widest that `text` is likely to be, in pixels, at the style sheet's size of text in pictures.
double TextWidth(const std::string& text);

}  // namespace prefscore::report_html
