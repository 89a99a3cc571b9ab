// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/call_totals.h"

#include <cstdint>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace prefscore {
namespace {

std::int64_t CountOf(const prometheus::ClientMetric& metric) { return static_cast<std::int64_t>(metric.counter.value); }

}  // namespace

std::string CallTotals(prometheus::Registry& registry) {
  std::map<std::string, std::int64_t> calls;  // by method and code
  std::int64_t num_scored = 0, num_failed = 0;
  for (const prometheus::MetricFamily& family : registry.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      if (family.name == "prefscore_pairs_scored_total") num_scored += CountOf(metric);
      if (family.name == "prefscore_pairs_failed_total") num_failed += CountOf(metric);
      if (family.name != "prefscore_requests_total" || CountOf(metric) == 0) continue;
      std::map<std::string, std::string> labels;
      for (const auto& label : metric.label) labels[label.name] = label.value;
      calls[absl::StrCat(labels["method"], " ", labels["code"])] = CountOf(metric);
    }
  }
  const auto name_and_count = [](std::string* out, const auto& call) {
    absl::StrAppend(out, call.first, " ", call.second);
  };
  return absl::StrCat(calls.empty() ? "no call" : absl::StrJoin(calls, ", ", name_and_count), "; pairs scored ",
                      num_scored, ", failed ", num_failed);
}

}  // namespace prefscore
