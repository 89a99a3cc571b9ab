// SPDX-License-Identifier: Apache-2.0
// Whether a page that the report writer made is well-formed.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace prefscore::testing {

// What is wrong with the nesting of the page's elements, and with its attributes; "" where nothing is.
inline std::string HtmlFault(const std::string& page) {
  static const auto* const without_end = new std::set<std::string>{"meta", "br", "!DOCTYPE"};
  std::vector<std::string> open;
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at)) {
    const std::size_t end = page.find('>', at);
    if (end == std::string::npos) return "a tag does not end";
    const std::string tag = page.substr(at + 1, end - at - 1);
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "an attribute does not end: " + tag;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    at = name == "style" ? page.find("</style", end) : end;
    if (name[0] == '/') {
      if (open.empty() || "/" + open.back() != name) return "unexpected <" + tag + ">";
      open.pop_back();
    } else if (!without_end->contains(name) && tag.back() != '/') {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

}  // namespace prefscore::testing
