// SPDX-License-Identifier: Apache-2.0
// A page over HTTP.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace prefscore::cli {

struct HttpOptions {
  std::string bearer_token;  // empty: none is sent
  std::string ca_file;       // PEM; empty: the system's certificates. For https only
  absl::Duration timeout = absl::Seconds(5);
};

// Http and https only, no redirects. UNAVAILABLE where nobody answers, or with another code than 200; says what was
// asked.
absl::StatusOr<std::string> HttpGet(const std::string& url, const HttpOptions& options);

}  // namespace prefscore::cli
