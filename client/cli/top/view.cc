// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/view.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/text_width.h"

namespace prefscore::cli {
namespace {

constexpr double kMsPerSecond = 1000;
constexpr double kEndOfTime = 253402300800;  // the year 10000, in seconds since the epoch
constexpr const char* kPriorities[] = {"interactive", "bulk"};

// A table's rows; the first column to the left, the others to the right.
class Columns {
 public:
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  void AppendTo(std::vector<std::string>& lines) const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t idx = 0; idx < row.size(); ++idx) widths[idx] = std::max(widths[idx], row[idx].size());
    }
    for (const auto& row : rows_) {
      std::string line = absl::StrFormat("%-*s", static_cast<int>(widths[0]), row[0]);
      for (std::size_t idx = 1; idx < row.size(); ++idx) {
        absl::StrAppend(&line, absl::StrFormat("  %*s", static_cast<int>(widths[idx]), row[idx]));
      }
      lines.push_back(line);
    }
  }

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Ms(double seconds) { return ShortNumber(kMsPerSecond * seconds); }
std::string Percent(double share) { return std::isnan(share) ? "-" : absl::StrFormat("%.1f%%", 100 * share); }

// Values of a label, in the order of the scrape.
std::vector<std::string> ValuesOf(const Scrape& scrape, const std::string& name, const std::string& label) {
  std::vector<std::string> values;
  for (const Series& series : scrape.Of(name)) {
    const auto found = series.labels.find(label);
    if (found == series.labels.end()) continue;
    if (std::find(values.begin(), values.end(), found->second) == values.end()) values.push_back(found->second);
  }
  return values;
}

std::string UpTime(const Interval& interval, absl::Time now) {
  const double start = interval.Value("process_start_time_seconds");
  if (!(start > 0 && start < kEndOfTime)) return "";
  const absl::Duration up = now - absl::FromUnixSeconds(static_cast<std::int64_t>(start));
  return absl::StrCat("up ", absl::FormatDuration(absl::Trunc(up, absl::Seconds(1))));
}

void AddHead(const Interval& interval, const std::string& url, absl::Time now, std::vector<std::string>& lines) {
  const auto versions = ValuesOf(interval.after(), "prefscore_build_info", "version");
  lines.push_back(absl::StrCat("prefscore ", versions.empty() ? "" : versions[0], "  ", url, "  ",
                               UpTime(interval, now), interval.is_restarted() ? "  RESTARTED" : ""));
  const auto rate = [&](const char* counter) { return ShortNumber(interval.Rate(counter)); };
  lines.push_back(absl::StrCat("pairs/s ", rate("prefscore_pairs_scored_total"), "  failed/s ",
                               rate("prefscore_pairs_failed_total"), "  prompts/s ",
                               rate("prefscore_prompts_scored_total"), "  non-finite/s ",
                               rate("prefscore_non_finite_results_total"), "  open streams ",
                               ShortNumber(interval.Value("prefscore_streams_in_flight"))));
  const auto tokens = [&](const char* kind) {
    return ShortNumber(interval.Rate("prefscore_tokens_total", {{"kind", kind}}));
  };
  lines.push_back(absl::StrCat("tokens/s ", tokens("computed"), "  saved by sharing ", tokens("saved_by_sharing"),
                               "  saved by the cache ", tokens("saved_by_cache")));
}

void AddCalls(const Interval& interval, std::vector<std::string>& lines) {
  Columns columns;
  columns.Add({"calls", "/s", "errors", "p50 ms", "p99 ms"});
  const auto add = [&](const std::string& name, const MetricLabels& labels) {
    const double all = interval.Increase("prefscore_requests_total", labels);
    if (!name.empty() && !(all > 0)) return;
    MetricLabels with_ok = labels;
    with_ok["code"] = "OK";
    columns.Add({name.empty() ? "  all" : "  " + name, ShortNumber(all / interval.seconds()),
                 Percent(1 - interval.Increase("prefscore_requests_total", with_ok) / all),
                 Ms(interval.Quantile(0.5, "prefscore_request_duration_seconds", labels)),
                 Ms(interval.Quantile(0.99, "prefscore_request_duration_seconds", labels))});
  };
  add("", {});
  for (const std::string& method : ValuesOf(interval.after(), "prefscore_requests_total", "method")) {
    add(method, {{"method", method}});
  }
  columns.AppendTo(lines);
}

void AddQueue(const Interval& interval, std::vector<std::string>& lines) {
  Columns columns;
  columns.Add({"queue", "waiting", "tokens", "p50 ms", "p99 ms", "refused/s", "batches/s", "batch ms"});
  for (const char* priority : kPriorities) {
    const MetricLabels labels = {{"priority", priority}};
    columns.Add({absl::StrCat("  ", priority), ShortNumber(interval.Value("prefscore_queued_pairs", labels)),
                 ShortNumber(interval.Value("prefscore_queued_tokens", labels)),
                 Ms(interval.Quantile(0.5, "prefscore_queue_delay_seconds", labels)),
                 Ms(interval.Quantile(0.99, "prefscore_queue_delay_seconds", labels)),
                 ShortNumber(interval.Rate("prefscore_refusals_total", labels)),
                 ShortNumber(interval.Rate("prefscore_batch_duration_seconds_count", labels)),
                 Ms(interval.Quantile(0.5, "prefscore_batch_duration_seconds", labels))});
  }
  columns.AppendTo(lines);
  std::string reasons;
  for (const std::string& reason : ValuesOf(interval.after(), "prefscore_refusals_total", "reason")) {
    const double rate = interval.Rate("prefscore_refusals_total", {{"reason", reason}});
    if (rate > 0) absl::StrAppend(&reasons, "  ", reason, " ", ShortNumber(rate));
  }
  if (!reasons.empty()) lines.push_back("refused/s for" + reasons);
}

void AddModels(const Interval& interval, std::vector<std::string>& lines) {
  Columns columns;
  columns.Add({"models", "passes/s", "p50 ms", "p99 ms", "busy", "mean margin"});
  for (const std::string& model :
       ValuesOf(interval.after(), "prefscore_forward_duration_seconds_count", "model")) {
    const MetricLabels labels = {{"model", model}};
    double margin = interval.Mean("prefscore_policy_margin_nats", labels);
    if (std::isnan(margin)) margin = interval.Mean("prefscore_reference_margin_nats", labels);
    columns.Add({"  " + model, ShortNumber(interval.Rate("prefscore_forward_duration_seconds_count", labels)),
                 Ms(interval.Quantile(0.5, "prefscore_forward_duration_seconds", labels)),
                 Ms(interval.Quantile(0.99, "prefscore_forward_duration_seconds", labels)),
                 Percent(interval.Rate("prefscore_forward_duration_seconds_sum", labels)), ShortNumber(margin)});
  }
  columns.AppendTo(lines);
  lines.push_back(absl::StrCat("batch tokens mean ", ShortNumber(interval.Mean("prefscore_batch_tokens")), "  p99 ",
                               ShortNumber(interval.Quantile(0.99, "prefscore_batch_tokens"))));
}

void AddPreferences(const Interval& interval, std::vector<std::string>& lines) {
  const double pairs = interval.Increase("prefscore_pairs_scored_total");
  lines.push_back(absl::StrCat("pairs  accuracy ", Percent(interval.Increase("prefscore_pairs_accurate_total") / pairs),
                               "  reward margin mean ", ShortNumber(interval.Mean("prefscore_reward_margin")), "  p50 ",
                               ShortNumber(interval.Quantile(0.5, "prefscore_reward_margin"))));
  const double ranked = interval.Increase("prefscore_learning_cell_pairs_total");
  const auto cell = [&](const char* policy, const char* reference) {
    return Percent(interval.Increase("prefscore_learning_cell_pairs_total",
                                     {{"policy_ranking", policy}, {"reference_ranking", reference}}) /
                   ranked);
  };
  lines.push_back(absl::StrCat("ranked right by  both ", cell("right", "right"), "  policy ",
                               cell("right", "wrong"), "  reference ", cell("wrong", "right"), "  none ",
                               cell("wrong", "wrong")));
}

void AddCache(const Interval& interval, std::vector<std::string>& lines) {
  std::string state = "-";
  for (const std::string& name : ValuesOf(interval.after(), "prefscore_cache_state", "state")) {
    if (interval.Value("prefscore_cache_state", {{"state", name}}) == 1) state = name;
  }
  const double lookups = interval.Increase("prefscore_cache_lookups_total");
  lines.push_back(absl::StrCat(
      "cache  ", state, "  hits ",
      Percent(interval.Increase("prefscore_cache_lookups_total", {{"result", "hit"}}) / lookups), "  lookups/s ",
      ShortNumber(lookups / interval.seconds()), "  on disk ",
      ShortNumber(interval.Value("prefscore_cache_stored_bytes")), "B  errors/s ",
      ShortNumber(interval.Rate("prefscore_cache_errors_total"))));
}

}  // namespace

std::string ShortNumber(double value) {
  if (std::isnan(value)) return "-";
  if (std::abs(value) > 999e12) return absl::StrFormat("%.0e", value);
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size < 9.995) return absl::StrFormat("%.2f", value);
  if (size < 99.95) return absl::StrFormat("%.1f", value);
  if (size < 9999.5) return absl::StrFormat("%.0f", value);
  const char* unit = "kMGT";
  for (value /= 1000; std::abs(value) >= 999.5; value /= 1000) ++unit;
  return absl::StrFormat("%.*f%c", std::abs(value) < 99.95 ? 1 : 0, value, *unit);
}

std::vector<std::string> TopView(const Interval& interval, const std::string& url, absl::Time now) {
  std::vector<std::string> lines;
  AddHead(interval, url, now, lines);
  AddCalls(interval, lines);
  AddQueue(interval, lines);
  AddModels(interval, lines);
  AddPreferences(interval, lines);
  AddCache(interval, lines);
  // Labels come from a server that may be any: none of them moves the terminal's cursor.
  for (std::string& line : lines) line = CutText(line, line.size());
  return lines;
}

}  // namespace prefscore::cli
