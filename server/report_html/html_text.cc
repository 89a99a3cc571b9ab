// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/html_text.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace prefscore::report_html {
namespace {

constexpr std::size_t kMostUnbroken = 40;  // bytes of code that stay on one line of a table

}  // namespace

std::string EscapeHtml(const std::string& text) {
  std::string html;
  html.reserve(text.size());
  for (const char character : text) {
    switch (character) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '>': html += "&gt;"; break;
      case '"': html += "&quot;"; break;
      case '\'': html += "&#39;"; break;
      case '\n':
      case '\t': html += ' '; break;
      default:
        if (static_cast<unsigned char>(character) < 0x20 || character == 0x7F) {
          html += "\xEF\xBF\xBD";
        } else {
          html += character;
        }
    }
  }
  return html;
}

std::string Element(const std::string& tag, const std::string& content, const std::string& attributes) {
  return absl::StrCat("<", tag, attributes.empty() ? "" : " ", attributes, ">", content, "</", tag, ">\n");
}

std::string Code(const std::string& text) {
  return absl::StrCat(text.size() <= kMostUnbroken ? "<code class=\"short\">" : "<code>", EscapeHtml(text), "</code>");
}

std::string Figure(const std::string& title, const std::string& chart, const std::string& note,
                   const std::string& css_class) {
  return Element("figure",
                 absl::StrCat("<figcaption><strong>", EscapeHtml(title), "</strong>",
                              note.empty() ? "" : absl::StrCat("<span class=\"note\">", note, "</span>"),
                              "</figcaption>\n<div class=\"chart\">", chart, "</div>\n"),
                 css_class.empty() ? "" : absl::StrCat("class=\"", css_class, "\""));
}

std::string Details(const std::string& summary, const std::string& content) {
  return Element("details", absl::StrCat("<summary>", EscapeHtml(summary), "</summary>\n", content));
}

HtmlTable::HtmlTable(std::string caption, std::vector<Column> columns, std::string css_class)
    : caption_(std::move(caption)), columns_(std::move(columns)), css_class_(std::move(css_class)) {}

void HtmlTable::AddRow(const std::vector<std::string>& cells, const std::string& css_class) {
  ++num_rows_;
  absl::StrAppend(&rows_, css_class.empty() ? "<tr>" : absl::StrCat("<tr class=\"", css_class, "\">"));
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const char* const tag = i == 0 ? "th" : "td";
    absl::StrAppend(&rows_, "<", tag, i == 0 ? " scope=\"row\"" : "",
                    columns_[i].align == Align::kText ? " class=\"text\"" : "", ">", i < cells.size() ? cells[i] : "",
                    "</", tag, ">");
  }
  rows_ += "</tr>\n";
}

std::string HtmlTable::Html() const {
  std::string headings;
  for (const Column& column : columns_) {
    absl::StrAppend(&headings, "<th scope=\"col\"", column.align == Align::kText ? " class=\"text\"" : "", ">",
                    column.heading, "</th>");
  }
  return absl::StrCat("<div class=\"scroll\"><table",
                      css_class_.empty() ? "" : absl::StrCat(" class=\"", css_class_, "\""), ">\n",
                      caption_.empty() ? "" : absl::StrCat("<caption>", caption_, "</caption>\n"), "<thead><tr>",
                      headings, "</tr></thead>\n<tbody>\n", rows_, "</tbody></table></div>\n");
}

}  // namespace prefscore::report_html
