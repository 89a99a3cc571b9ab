// SPDX-License-Identifier: Apache-2.0
// What a server says of itself at one moment: Prometheus' text exposition format, read strictly.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace prefscore::cli {

using MetricLabels = std::map<std::string, std::string>;

struct Series {
  MetricLabels labels;
  double value = 0;
};

class Scrape {
 public:
  // INVALID_ARGUMENT names the first line that is none of the format. Time stamps of samples are read over.
  static absl::StatusOr<Scrape> Parse(const std::string& text);

  // Of this name, in the order of the text; histograms have names that end in _bucket, _sum and _count.
  const std::vector<Series>& Of(const std::string& name) const;

 private:
  std::map<std::string, std::vector<Series>> series_;
};

}  // namespace prefscore::cli
