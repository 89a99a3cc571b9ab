// SPDX-License-Identifier: Apache-2.0
// An analysis as one HTML file that needs nothing else: no network, no script, no font; light or dark as the reader's
// system is. The same report gives the same bytes.
#pragma once

#include <string>

#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::report_html {

struct ReportHtmlOptions {
  std::string title = "What these preference pairs teach";
  // What the report was made from, such as the command line. Empty: not told.
  std::string generated_from;
};

std::string ReportHtml(const v1::AnalysisReport& report, const ReportHtmlOptions& options);

}  // namespace prefscore::report_html
