// SPDX-License-Identifier: Apache-2.0
// What was analysed, and the key numbers.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/report_html/html_text.h"
#include "server/report_html/number_text.h"
#include "server/report_html/sections.h"

namespace prefscore::report_html {
namespace {

// Rows of a list of names and values. Values are HTML; empty ones are left out.
class Facts {
 public:
  void Add(const std::string& name, const std::string& value_html) {
    if (!value_html.empty()) absl::StrAppend(&html_, "<dt>", name, "</dt><dd>", value_html, "</dd>\n");
  }
  std::string Html() const { return Element("dl", "\n" + html_, "class=\"facts\""); }

 private:
  std::string html_;
};

std::string Digests(const google::protobuf::RepeatedPtrField<std::string>& digests) {
  std::string html;
  for (const std::string& digest : digests) absl::StrAppend(&html, html.empty() ? "" : "<br>", Code(digest));
  return html.empty() ? "not told" : html;
}

std::string Parameters(const google::protobuf::RepeatedField<double>& numbers) {
  std::string text;
  for (const double number : numbers) absl::StrAppend(&text, text.empty() ? "" : ", ", ParameterText(number));
  return text;
}

std::string CountIfAny(std::uint64_t count) { return count == 0 ? "" : CountText(count); }

std::string TruncationText(v1::TruncationPolicy policy) {
  return policy == v1::TRUNCATION_POLICY_UNSPECIFIED ? "" : Code(v1::TruncationPolicy_Name(policy));
}

std::string OptionsHtml(const v1::AnalysisOptions& options) {
  Facts facts;
  const v1::ScoringOptions& scoring = options.scoring();
  facts.Add("policy, reference", scoring.policy().empty() && scoring.reference().empty()
                                     ? ""
                                     : absl::StrCat(Code(scoring.policy()), ", ", Code(scoring.reference())));
  facts.Add("tokenization profile", scoring.profile().empty() ? "" : Code(scoring.profile()));
  facts.Add("over-length input", TruncationText(scoring.truncation_policy()));
  facts.Add("longest prompt + completion", scoring.max_length() == 0 ? "" : CountOf(scoring.max_length(), "token"));
  facts.Add("β of the sweep", Parameters(options.sweep().betas()));
  facts.Add("γ/β of the sweep", Parameters(options.sweep().gamma_over_betas()));
  facts.Add("exponents of the reference temper", Parameters(options.temper_exponents()));
  if (options.has_learning_threshold()) {
    facts.Add("still learning", absl::StrCat("σ(−z) above ", ParameterText(options.learning_threshold())));
  }
  if (options.has_saturation_threshold()) {
    facts.Add("saturated", absl::StrCat("σ(−z) below ", ParameterText(options.saturation_threshold())));
  }
  facts.Add("preference probabilities", Parameters(options.preference_probabilities()));
  facts.Add("most slices per label", CountIfAny(options.max_slices()));
  facts.Add("pairs per list", CountIfAny(options.num_listed_pairs()));
  facts.Add("faulty pairs", options.skip_faulty_pairs() ? "counted and listed" : "end the analysis");
  return facts.Html();
}

// A number in large type. `meaning` is HTML.
std::string Tile(const std::string& number, const std::string& name, const std::string& meaning) {
  return absl::StrCat("<div class=\"tile\"><span class=\"number\">", EscapeHtml(number), "</span><span class=\"name\">",
                      name, "</span><span class=\"meaning\">", meaning, "</span></div>\n");
}

std::string Tiles(const v1::SliceReport& overall) {
  const v1::RankingReport& ranking = overall.ranking();
  std::string tiles = Tile(PercentText(ranking.policy_accuracy()), "policy ranks right", "h &gt; 0");
  if (overall.num_pairs_with_reference() > 0) {
    tiles += Tile(PercentText(ranking.reference_accuracy()), "reference ranks right", "h0 &gt; 0");
    tiles += Tile(PercentText(ranking.agreement()), "policy and reference agree", "h and h0 of one sign");
    tiles += Tile(PercentText(ranking.pessimistic_share()), "pessimistic pairs",
                  "h0 &lt; 0: the reference prefers the rejected");
    tiles +=
        Tile(PercentText(ranking.both_fell_share()), "both fell", "a &lt; 0 and b &lt; 0: likelihood displacement");
    tiles +=
        Tile(PercentText(ranking.chosen_fell_share()), "chosen fell", "a &lt; 0: less likely than under the reference");
  }
  if (overall.has_length()) {
    tiles += Tile(NumberText(overall.length().policy_margin_correlation()), "length correlation",
                  "of h with the difference in tokens");
  }
  if (ranking.policy_tie_share() > 0 || ranking.reference_tie_share() > 0) {
    tiles +=
        Tile(PercentText(ranking.policy_tie_share()), "policy ties",
             overall.num_pairs_with_reference() == 0
                 ? "h = 0"
                 : absl::StrCat("h = 0; of the reference ", EscapeHtml(PercentText(ranking.reference_tie_share()))));
  }
  return Element("div", "\n" + tiles, "class=\"tiles\"");
}

std::string Effective(const v1::ObjectiveReport& objective) {
  const double pairs = static_cast<double>(objective.num_pairs());
  const std::string share = pairs > 0 ? PercentText(objective.effective_sample_size() / pairs) : "0%";
  return EscapeHtml(absl::StrCat(NumberText(objective.effective_sample_size()), " (", share, ")"));
}

}  // namespace

std::string AnalysedSection(const v1::AnalysisReport& report, const ReportHtmlOptions& options) {
  Facts facts;
  facts.Add("pairs", Element("strong", CountText(report.num_pairs())));
  if (report.slices_size() > 0) facts.Add("with a reference", CountText(report.slices(0).num_pairs_with_reference()));
  facts.Add("faulty pairs", absl::StrCat(CountText(report.num_faulty_pairs()),
                                         report.num_non_finite_pairs() == 0
                                             ? ""
                                             : absl::StrCat(", ", CountText(report.num_non_finite_pairs()),
                                                            " of them with a log-prob that is NaN or infinite")));
  facts.Add("policy", Digests(report.policy_digests()));
  facts.Add("reference", Digests(report.reference_digests()));
  facts.Add("made from", options.generated_from.empty() ? "" : Code(options.generated_from));
  return absl::StrCat(
      report.num_pairs() == 0 ? Element("p", "The report is empty: it has no pair.", "class=\"empty\"") : "",
      facts.Html(), report.has_options() ? Details("Options", OptionsHtml(report.options())) : "");
}

std::string KeyNumbersSection(const v1::SliceReport& overall) {
  if (overall.num_pairs() == 0) return "";
  HtmlTable table("Objectives, over all pairs that each could be evaluated for",
                  {{"objective", HtmlTable::Align::kText},
                   {"pairs"},
                   {"mean loss"},
                   {"accuracy<br>z &gt; 0"},
                   {"rewards, likelihoods<br>rank alike"},
                   {"gradient mass"},
                   {"effective sample size<br>(of the pairs)"},
                   {"saturated"}});
  for (const v1::ObjectiveReport& objective : overall.objectives()) {
    table.AddRow({Code(objective.label()), CountText(objective.num_pairs()), NumberText(objective.mean_loss()),
                  EscapeHtml(PercentText(objective.accuracy())),
                  EscapeHtml(PercentText(objective.reward_likelihood_agreement())),
                  NumberText(objective.gradient_mass()), Effective(objective),
                  EscapeHtml(PercentText(objective.saturated_share()))});
  }
  return Tiles(overall) + (table.empty() ? "" : table.Html());
}

}  // namespace prefscore::report_html
