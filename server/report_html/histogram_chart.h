// SPDX-License-Identifier: Apache-2.0
// A distribution as a small picture: counts per bucket, and above them the quantiles.
#pragma once

#include <string>

#include "prefscore/v1/diagnostics.pb.h"

namespace prefscore::report_html {

// SVG; a sentence where no pair has the number. Of more buckets than fit, neighbours are drawn as one.
std::string DrawHistogram(const v1::Distribution& distribution, const std::string& name);

// The quantile of this probability; `otherwise` where the distribution does not have it.
double QuantileOf(const v1::Distribution& distribution, double probability, double otherwise);

}  // namespace prefscore::report_html
