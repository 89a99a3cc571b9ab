// SPDX-License-Identifier: Apache-2.0
// The parts of the page, in its order. Each gives HTML, empty where the report has nothing for it. What is too much for
// a page is left out, and the page says so.
#pragma once

#include <string>

#include "server/report_html/report_html.h"
#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::report_html {

constexpr int kMostDrawnObjectives = 6;    // with charts and distributions; the others have their learning table
constexpr int kMostSlices = 200;           // in the comparison
constexpr int kMostSliceTables = 100;      // with a learning table
constexpr int kMostObjectivesOfSlice = 3;  // in it
constexpr int kMostListedRows = 100;       // of a list of pairs
constexpr int kMostChartLines = 10;        // betas of a line chart
constexpr int kMostHeatMapNames = 32;      // betas or ratios of a heat map

// Counts, digests of the models, options.
std::string AnalysedSection(const v1::AnalysisReport& report, const ReportHtmlOptions& options);

// The numbers to know before all others.
std::string KeyNumbersSection(const v1::SliceReport& overall);

// Everything about one objective that is not a distribution or a list. `index` from 0.
std::string ObjectiveSection(const v1::AnalysisReport& report, int index);

// The nine cells as a 3 x 3 table with what they mean. Thresholds as of the options.
std::string LearningTableHtml(const v1::ObjectiveReport& objective, const v1::AnalysisOptions& options);
// The cells that have pairs, a line each.
std::string LearningTableLines(const v1::ObjectiveReport& objective);

// Charts, heat maps and the table of all points.
std::string SweepHtml(const v1::ObjectiveReport& objective);

// Of the log-probs and of the objectives: histograms and quantiles.
std::string DistributionsSection(const v1::SliceReport& overall);
// Histograms and a table of quantiles of these.
std::string DistributionsHtml(const google::protobuf::RepeatedPtrField<v1::Distribution>& distributions);

std::string LengthSection(const v1::SliceReport& overall);
std::string SlicesSection(const v1::AnalysisReport& report);
std::string PairListsSection(const v1::SliceReport& overall);
std::string FaultyPairsSection(const v1::AnalysisReport& report);
std::string GlossarySection();

// <section> with a heading that the page's contents link to. `title` is plain text.
std::string Section(const std::string& id, const std::string& title, const std::string& content);

// A remark that something was left out; `text` is plain.
std::string LeftOut(const std::string& text);

}  // namespace prefscore::report_html
