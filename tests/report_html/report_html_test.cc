// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/report_html.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "server/report_html/axis.h"
#include "server/report_html/html_text.h"
#include "server/report_html/line_chart.h"
#include "server/report_html/number_text.h"
#include "server/report_html/svg.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/html_fault.h"
#include "tests/testing/sample_report.h"

namespace prefscore::report_html {
namespace {

using ::prefscore::testing::HtmlFault;
using ::prefscore::testing::SampleReport;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Page(const v1::AnalysisReport& report) { return ReportHtml(report, {.generated_from = "a <test>"}); }

// First groups of all matches.
std::vector<std::string> AllMatches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> matches;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), regex); match != std::sregex_iterator(); ++match) {
    matches.push_back((*match)[match->size() > 1 ? 1 : 0]);
  }
  return matches;
}

bool Has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t CountOfText(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// SVG attributes that hold no number where they should.
std::vector<std::string> NumbersThatAreNone(const std::string& page) {
  return AllMatches(page, R"re( (?:x|y|x1|x2|y1|y2|cx|cy|r|width|height|points|viewBox)="([^"]*[^-0-9., "][^"]*)")re");
}

TEST(ReportHtmlTest, IsWellFormedWhateverTheReport) {
  const std::vector<v1::AnalysisReport> reports = {
      SampleReport(),
      SampleReport({.num_objectives = 0}),
      SampleReport({.num_pairs = 1, .num_objectives = 1, .betas = {0.1}, .gamma_over_betas = {1}}),
      SampleReport({.num_pairs = 1, .betas = {0.1}, .gamma_over_betas = {0}}),
      SampleReport({.num_pairs = 0}),
      SampleReport({.num_pairs = 60, .betas = {}, .gamma_over_betas = {}}),
      SampleReport({.has_reference = false}),
      v1::AnalysisReport()};
  for (const v1::AnalysisReport& report : reports) {
    const std::string page = Page(report);
    EXPECT_EQ(HtmlFault(page), "");
    EXPECT_THAT(NumbersThatAreNone(page), IsEmpty());
    EXPECT_FALSE(Has(page, "nan")) << "nan";
    const auto ids = AllMatches(page, " id=\"([^\"]*)\"");
    EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), ids.size());
    for (const std::string& target : AllMatches(page, "href=\"#([^\"]*)\"")) {
      EXPECT_EQ(std::count(ids.begin(), ids.end(), target), 1) << target;
    }
    EXPECT_EQ(page, Page(report));
  }
}

TEST(ReportHtmlTest, NumbersThatAreNotFiniteLeaveThePictures) {
  v1::AnalysisReport report = SampleReport({.num_pairs = 200, .num_objectives = 1});
  v1::ObjectiveReport& objective = *report.mutable_slices(0)->mutable_objectives(0);
  objective.mutable_sweep(3)->set_mean_loss(std::numeric_limits<double>::quiet_NaN());
  objective.mutable_sweep(4)->set_mean_loss(std::numeric_limits<double>::infinity());
  objective.mutable_sweep(5)->set_effective_sample_size(1e300);
  objective.mutable_sweep(6)->set_gradient_mass(std::numeric_limits<double>::quiet_NaN());
  objective.mutable_learning_table(0)->set_share(std::numeric_limits<double>::quiet_NaN());
  v1::Distribution& distribution = *objective.mutable_distributions(0);
  distribution.mutable_histogram()->set_lower(-1e150);
  distribution.mutable_histogram()->set_upper(1e150);
  distribution.mutable_quantiles(4)->set_value(std::numeric_limits<double>::quiet_NaN());
  const std::string page = Page(report);
  EXPECT_EQ(HtmlFault(page), "");
  EXPECT_THAT(NumbersThatAreNone(page), IsEmpty());
  EXPECT_TRUE(Has(page, "not finite")) << "not finite";
}

TEST(ReportHtmlTest, NeedsNothingFromElsewhere) {
  const std::string page = Page(SampleReport());
  for (const char* const part : {"<script", "<link", "<iframe", "<img", "@import", "http:", "https:", "javascript:"}) {
    EXPECT_FALSE(Has(page, part)) << part;
  }
  for (const std::string& target : AllMatches(page, "url\\(([^)]*)\\)")) EXPECT_EQ(target[0], '#');
  EXPECT_THAT(AllMatches(page, "<[^>]* (on[a-z]+|src)="), IsEmpty());
}

TEST(ReportHtmlTest, WhatComesFromDataIsEscaped) {
  v1::AnalysisReport report = SampleReport({.num_pairs = 300, .num_objectives = 1});
  const std::string hostile = "</title><script>alert('x')</script>&\"";
  report.mutable_slices(0)->mutable_objectives(0)->set_label(hostile);
  report.mutable_slices(0)->mutable_distributions(0)->set_name(hostile);
  report.mutable_slices(0)->mutable_distributions(0)->set_unit(hostile);
  report.mutable_slices(1)->set_label_name(hostile);
  report.mutable_faulty_pairs(0)->set_message(hostile);
  report.set_policy_digests(0, hostile);
  report.mutable_options()->mutable_scoring()->set_policy(hostile);
  const std::string page = ReportHtml(report, {.title = hostile, .generated_from = hostile});
  EXPECT_EQ(HtmlFault(page), "");
  EXPECT_FALSE(Has(page, "<script")) << "<script";
  EXPECT_FALSE(Has(page, "<img")) << "<img";
  EXPECT_GE(CountOfText(page, "&lt;/title&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"), 9);
  for (const std::string& id : prefscore::testing::HostileIds())
    EXPECT_TRUE(Has(page, EscapeHtml(id))) << EscapeHtml(id);
  EXPECT_EQ(EscapeHtml("a\x01\nb"), "a\xEF\xBF\xBD b");
}

TEST(ReportHtmlTest, PartsInOrder) {
  EXPECT_THAT(AllMatches(Page(SampleReport()), "<h2>([^<]*)</h2>"),
              ElementsAre("What was analysed", "In one look", "Objective 1: sigmoid:beta=0.1",
                          "Objective 2: margin_hinge:beta=0.1,gamma=0.05", "Distributions", "Length", "Slices",
                          "Pairs to look at", "Faulty pairs", "Glossary"));
  EXPECT_THAT(AllMatches(Page(v1::AnalysisReport()), "<h2>([^<]*)</h2>"), ElementsAre("What was analysed", "Glossary"));
  EXPECT_TRUE(Has(Page(v1::AnalysisReport()), "The report is empty: it has no pair."))
      << "The report is empty: it has no pair.";
}

TEST(ReportHtmlTest, NumbersAreThereAsText) {
  const v1::AnalysisReport report = SampleReport();
  const std::string page = Page(report);
  const v1::SliceReport& overall = report.slices(0);
  std::vector<std::string> expected = {"2,000", report.policy_digests(0), report.reference_digests(0),
                                       "a &lt;test&gt;"};
  const auto add_percent = [&](double share) { expected.push_back(EscapeHtml(PercentText(share))); };
  add_percent(overall.ranking().policy_accuracy());
  add_percent(overall.ranking().pessimistic_share());
  expected.push_back(NumberText(overall.length().reference_margin_correlation()));
  for (const v1::ObjectiveReport& objective : overall.objectives()) {
    for (const v1::LearningCell& cell : objective.learning_table()) {
      if (cell.num_pairs() == 0) continue;
      expected.push_back("<b>" + CountText(cell.num_pairs()) + "</b>");
      for (const double number : {cell.gradient_mass(), cell.mean_loss(), cell.mean_logit()}) {
        expected.push_back("<dd>" + NumberText(number) + "</dd>");
      }
      add_percent(cell.gradient_mass_share());
      if (cell.is_diagonal()) expected.push_back("start: " + CountText(cell.num_initial_pairs()) + " pairs");
    }
    for (const v1::SweepPoint& point : objective.sweep()) {
      expected.push_back("<td>" + NumberText(point.mean_loss()) + "</td>");
      expected.push_back("<td>" + NumberText(point.effective_sample_size()) + "</td>");
    }
    for (const v1::TemperPoint& temper : objective.temper())
      expected.push_back(ParameterText(temper.unchanged_gamma()));
    for (const v1::IdealAccuracy& ideal : objective.flip().ideal_accuracies()) add_percent(ideal.accuracy());
    for (const v1::ListedPair& pair : objective.largest_gradient_masses()) expected.push_back(EscapeHtml(pair.id()));
  }
  for (const v1::Distribution& distribution : overall.distributions()) {
    for (const v1::Quantile& quantile : distribution.quantiles()) {
      expected.push_back("<td>" + NumberText(quantile.value()) + "</td>");
    }
  }
  for (int i = 1; i < report.slices_size(); ++i) {
    expected.push_back(EscapeHtml(report.slices(i).label_value()));
    expected.push_back(NumberText(report.slices(i).objectives(0).mean_loss()));
  }
  for (const std::string& text : expected) EXPECT_TRUE(Has(page, text)) << text;
  EXPECT_TRUE(Has(page, "≤ 0.50%")) << "≤ 0.50%";  // the stated error of the quantiles of the loss
}

TEST(ReportHtmlTest, VerdictsOfThePostAreNextToTheirCells) {
  const std::string page = Page(SampleReport({.num_objectives = 1}));
  const auto verdicts = AllMatches(page, "class=\"verdict ([a-z]+)\"");
  // Right/right, right/wrong, wrong/right, wrong/wrong; gamma >> 0, then gamma = 0.
  EXPECT_THAT(verdicts, ElementsAre("yes", "no", "no", "no", "yes", "yes", "no", "yes"));
  EXPECT_EQ(CountOfText(page, " is-diagonal\""), 3);
}

TEST(ReportHtmlTest, AccessibleByMarkup) {
  const std::string page = Page(SampleReport());
  EXPECT_TRUE(Has(page, "<html lang=\"en\">")) << "<html lang=\"en\">";
  EXPECT_EQ(CountOfText(page, "<h1>"), 1);
  EXPECT_EQ(CountOfText(page, "<th"), CountOfText(page, "<th scope=\"") + CountOfText(page, "<thead"));
  EXPECT_EQ(CountOfText(page, "<table"), CountOfText(page, "<caption>"));
  EXPECT_EQ(CountOfText(page, "<figure"), CountOfText(page, "<figcaption>"));
  EXPECT_EQ(CountOfText(page, "<svg "), AllMatches(page, "<svg role=\"img\"[^>]* aria-label=\"[^\"]+\"").size() + 1);
  EXPECT_EQ(CountOfText(page, "aria-hidden=\"true\""), 1);  // the patterns of all pictures
}

TEST(ReportHtmlTest, EveryColourHasALightAndADarkValue) {
  const std::string page = Page(SampleReport({.num_pairs = 60}));
  const std::size_t dark = page.find("@media (prefers-color-scheme: dark)");
  ASSERT_NE(dark, std::string::npos);
  const auto defined = [&](const std::string& css) {
    const auto names = AllMatches(css, "(--[a-z0-9-]+): ");
    return std::set<std::string>(names.begin(), names.end());
  };
  const auto in_light = defined(page.substr(0, dark));
  EXPECT_EQ(in_light, defined(page.substr(dark)));
  for (const std::string& name : AllMatches(page, "var\\((--[a-z0-9-]+)\\)")) {
    EXPECT_TRUE(name == "--share" || in_light.contains(name)) << name;
  }
}

TEST(ReportHtmlTest, HundredsOfSlicesAndAThousandPoints) {
  prefscore::testing::SampleOptions options{
      .num_pairs = 3000, .num_objectives = 8, .betas = {}, .gamma_over_betas = {0}};
  for (int i = 0; i < 32; ++i) options.betas.push_back(0.01 * std::pow(1.2, i));
  for (int i = 1; i < 32; ++i) options.gamma_over_betas.push_back(0.01 * std::pow(1.3, i));
  options.num_categories = 600;
  const v1::AnalysisReport report = SampleReport(options);
  ASSERT_GT(report.slices_size(), 250);
  const std::string page = Page(report);
  EXPECT_EQ(HtmlFault(page), "");
  EXPECT_LT(page.size(), 8 << 20);
  EXPECT_TRUE(Has(page, "Shown are the 200 largest of " + CountText(report.slices_size() - 1) + " slices."))
      << "Shown are the 200 largest of " + CountText(report.slices_size() - 1) + " slices.";
  EXPECT_TRUE(Has(page, "Of the 100 largest slices.")) << "Of the 100 largest slices.";
  EXPECT_TRUE(Has(page, "Line charts show 10 of 32 betas. The bars show 24 of 32 ratios."))
      << "Line charts show 10 of 32 betas. The bars show 24 of 32 ratios.";
  EXPECT_TRUE(Has(page, "Charts are drawn for the first 6 objectives."))
      << "Charts are drawn for the first 6 objectives.";
  EXPECT_TRUE(Has(page, "The sweep as a table, 1,024 points")) << "The sweep as a table, 1,024 points";
}

TEST(NumberTextTest, FourSignificantDigits) {
  const std::vector<std::pair<double, std::string>> numbers = {{0, "0"},
                                                               {0.69314718, "0.6931"},
                                                               {-12.3, "-12.30"},
                                                               {12, "12"},
                                                               {999.96, "1,000"},
                                                               {12345.6, "12,346"},
                                                               {1234567, "1,234,567"},
                                                               {1.2345e9, "1.234e9"},
                                                               {-1.5e-5, "-1.500e-5"},
                                                               {0.00012344, "0.0001234"},
                                                               {1e300, "1.000e300"},
                                                               {NAN, "not finite"},
                                                               {INFINITY, "not finite"}};
  for (const auto& [number, text] : numbers) EXPECT_EQ(NumberText(number), text);
  EXPECT_EQ(CountText(1234567890123), "1,234,567,890,123");
  EXPECT_EQ(CountOf(1, "pair") + ", " + CountOf(1000, "pair"), "1 pair, 1,000 pairs");
}

TEST(NumberTextTest, OtherForms) {
  EXPECT_THAT(
      (std::vector{PercentText(0), PercentText(1), PercentText(0.71234), PercentText(1e-9), PercentText(1 - 1e-9)}),
      ElementsAre("0%", "100%", "71.23%", "<0.01%", ">99.99%"));
  EXPECT_THAT((std::vector{ShortPercentText(0.714), ShortPercentText(0.004), ShortPercentText(0.999)}),
              ElementsAre("71%", "<1%", ">99%"));
  EXPECT_THAT((std::vector{ParameterText(0.1), ParameterText(100), ParameterText(1e-7), ParameterText(0)}),
              ElementsAre("0.1", "100", "1e-7", "0"));
  EXPECT_THAT((std::vector{ShortNumberText(0.69314), ShortNumberText(12345), ShortNumberText(4.5e6),
                           ShortNumberText(1.2e-4), ShortNumberText(1e12), ShortNumberText(2819.4)}),
              ElementsAre("0.693", "12.3k", "4.5M", "1.2e-4", "1e12", "2,819"));
}

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  for (const Axis::Tick& tick : axis.ticks()) labels.push_back(tick.label);
  return labels;
}

TEST(AxisTest, LogarithmicWhereValuesSpanMuchWithZeroApart) {
  const Axis axis({0, 0.1, 1, 10, 100}, {.first_px = 0, .last_px = 300});
  EXPECT_TRUE(axis.is_logarithmic());
  EXPECT_TRUE(axis.has_zero_apart());
  EXPECT_THAT(Labels(axis), ElementsAre("0", "0.1", "1", "10", "100"));
  EXPECT_EQ(axis.Pixel(0), 0);
  EXPECT_GT(axis.Pixel(0.1), 20);
  EXPECT_NEAR(axis.Pixel(10) - axis.Pixel(1), axis.Pixel(100) - axis.Pixel(10), 1e-9);
  EXPECT_EQ(axis.Pixel(100), 300);
  EXPECT_FALSE(Axis({0.1, 1, 100}, {}).has_zero_apart());
}

TEST(AxisTest, LinearOtherwise) {
  EXPECT_THAT(Labels(Axis({-1, 1000}, {.first_px = 300, .last_px = 0})),
              ElementsAre("0", "200", "400", "600", "800", "1,000"));
  EXPECT_THAT(Labels(Axis({}, {.last_px = 200, .unit = AxisUnit::kPercent, .range = {{0, 1}}})),
              ElementsAre("0%", "50%", "100%"));
}

TEST(AxisTest, AnyValuesGivePixels) {
  for (const std::vector<double>& values : std::vector<std::vector<double>>{
           {}, {0}, {5, 5}, {1e300, -1e300}, {NAN, INFINITY}, {1e-300, 1e300}, {1e9, 1e9 + 1e-7}, {-3, -3}}) {
    const Axis axis(values, {.first_px = 10, .last_px = 200, .ends_on_ticks = true});
    EXPECT_LE(axis.ticks().size(), 60);
    for (const double value : {-1e308, 0., 1e9, double{NAN}, double{INFINITY}}) {
      EXPECT_GE(axis.Pixel(value), 10);
      EXPECT_LE(axis.Pixel(value), 200);
    }
  }
}

TEST(SpreadApartTest, KeepsOrderGapAndEnds) {
  std::vector<double> positions = {10, 11, 12, 99, 100};
  SpreadApart(positions, 14, 0, 100);
  EXPECT_THAT(positions, ElementsAre(10, 24, 38, 86, 100));
}

TEST(NamesThatFitTest, EveryNthAndTheMarkedOne) {
  const std::vector<std::string> names(9, "0.125");
  EXPECT_THAT(NamesThatFit(names, 100, -1), ::testing::Each(true));
  EXPECT_THAT(NamesThatFit(names, 20, 3), ElementsAre(true, false, false, true, false, false, true, false, false));
  EXPECT_THAT(NamesThatFit(names, 20, 4), ElementsAre(true, false, false, false, true, false, false, false, false));
}

}  // namespace
}  // namespace prefscore::report_html
