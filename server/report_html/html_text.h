// SPDX-License-Identifier: Apache-2.0
// Pieces of HTML. All text that comes from outside passes EscapeHtml on its way in.
#pragma once

#include <string>
#include <vector>

namespace prefscore::report_html {

// For element content and quoted attributes. Control characters, which HTML does not allow, become U+FFFD.
std::string EscapeHtml(const std::string& text);

// <tag attributes>content</tag>. `content` is HTML; `attributes` are written as they are.
std::string Element(const std::string& tag, const std::string& content, const std::string& attributes = "");

// A word of code, such as an id; direction overrides in it stay inside of it. `text` is plain.
std::string Code(const std::string& text);

// <figure>: caption above, then `chart` (HTML), then `note` (HTML) in small print. `title` is plain text.
std::string Figure(const std::string& title, const std::string& chart, const std::string& note,
                   const std::string& css_class = "");

// A closed <details>. `summary` is plain text, `content` HTML.
std::string Details(const std::string& summary, const std::string& content);

// A table whose first column names the row. Cells are HTML; numbers are aligned to the right.
class HtmlTable {
 public:
  enum class Align { kNumber, kText };
  struct Column {
    std::string heading;  // HTML
    Align align = Align::kNumber;
  };

  // `caption` is HTML; the table scrolls sideways where it is wider than the page.
  // `css_class` may be empty.
  HtmlTable(std::string caption, std::vector<Column> columns, std::string css_class = "");

  // One cell per column. `css_class` marks the row.
  void AddRow(const std::vector<std::string>& cells, const std::string& css_class = "");
  bool empty() const { return num_rows_ == 0; }
  std::string Html() const;

 private:
  const std::string caption_;
  const std::vector<Column> columns_;
  const std::string css_class_;
  std::string rows_;
  int num_rows_ = 0;
};

}  // namespace prefscore::report_html
