// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/report_html.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/report_html/html_text.h"
#include "server/report_html/sections.h"
#include "server/report_html/style.h"

namespace prefscore::report_html {
namespace {

// Fills that all charts share: the hatching of the cells whose reference is wrong. A pattern in a picture that is not
// displayed would not be painted, so this one is displayed, without a size.
constexpr char kSharedPatterns[] = R"html(<svg class="patterns" width="0" height="0" aria-hidden="true"><defs>
<pattern id="hatch-right-wrong" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect class="plain cell-right-wrong" width="7" height="7"/><rect class="hatch" width="1.5" height="7"/></pattern>
<pattern id="hatch-wrong-wrong" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<rect class="plain cell-wrong-wrong" width="7" height="7"/><rect class="hatch" width="1.5" height="7"/></pattern>
</defs></svg>
)html";

std::string ObjectiveTitle(const v1::SliceReport& overall, int index) {
  const std::string number = overall.objectives_size() == 1 ? "Objective" : absl::StrCat("Objective ", index + 1);
  return absl::StrCat(number, ": ", overall.objectives(index).label());
}

struct Part {
  std::string id, title, content;
};

std::vector<Part> Parts(const v1::AnalysisReport& report, const ReportHtmlOptions& options) {
  std::vector<Part> parts = {{"analysed", "What was analysed", AnalysedSection(report, options)}};
  if (report.slices_size() > 0) {
    const v1::SliceReport& overall = report.slices(0);
    parts.push_back({"key-numbers", "In one look", KeyNumbersSection(overall)});
    for (int i = 0; i < overall.objectives_size(); ++i) {
      parts.push_back({absl::StrCat("objective-", i + 1), ObjectiveTitle(overall, i), ObjectiveSection(report, i)});
    }
    parts.push_back({"distributions", "Distributions", DistributionsSection(overall)});
    parts.push_back({"length", "Length", LengthSection(overall)});
    parts.push_back({"slices", "Slices", SlicesSection(report)});
    parts.push_back({"pairs", "Pairs to look at", PairListsSection(overall)});
  }
  parts.push_back({"faulty", "Faulty pairs", FaultyPairsSection(report)});
  parts.push_back({"glossary", "Glossary", GlossarySection()});
  return parts;
}

}  // namespace

std::string Section(const std::string& id, const std::string& title, const std::string& content) {
  return Element("section", absl::StrCat("\n", Element("h2", EscapeHtml(title)), content),
                 absl::StrCat("id=\"", id, "\""));
}

std::string LeftOut(const std::string& text) { return Element("p", EscapeHtml(text), "class=\"left-out\""); }

std::string ReportHtml(const v1::AnalysisReport& report, const ReportHtmlOptions& options) {
  std::string contents, body;
  for (const Part& part : Parts(report, options)) {
    if (part.content.empty()) continue;
    absl::StrAppend(&contents, "<li><a href=\"#", part.id, "\">", EscapeHtml(part.title), "</a></li>\n");
    body += Section(part.id, part.title, part.content);
  }
  const std::string title = EscapeHtml(options.title);
  return absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
                      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>", title, "</title>\n<style>\n",
                      StyleSheet(), "</style>\n</head>\n<body>\n", kSharedPatterns, "<header>\n<h1>", title, "</h1>\n",
                      "<nav aria-label=\"Contents\"><ul>\n", contents, "</ul></nav>\n</header>\n<main>\n", body,
                      "</main>\n</body>\n</html>\n");
}

}  // namespace prefscore::report_html
