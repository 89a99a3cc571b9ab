// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/http_get.h"

#include <httplib.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace prefscore::cli {
namespace {

constexpr std::size_t kMaxBytes = 16 << 20;  // a server's metrics are some 50 KiB

}  // namespace

absl::StatusOr<std::string> HttpGet(const std::string& url, const HttpOptions& options) {
  const std::size_t scheme_end = url.find("://");
  const std::string scheme = url.substr(0, scheme_end);
  if (scheme_end == std::string::npos || (scheme != "http" && scheme != "https")) {
    return absl::UnavailableError(absl::StrCat(url, ": is no http or https address"));
  }
  const std::size_t path_start = std::min(url.find('/', scheme_end + 3), url.size());
  httplib::Client client(url.substr(0, path_start));
  if (!client.is_valid()) return absl::UnavailableError(absl::StrCat(url, ": is no http or https address"));
  if (!options.ca_file.empty()) client.set_ca_cert_path(options.ca_file.c_str());
  if (!options.bearer_token.empty()) client.set_bearer_token_auth(options.bearer_token.c_str());
  const auto timeout = absl::ToChronoMicroseconds(options.timeout);
  client.set_connection_timeout(timeout);
  client.set_read_timeout(timeout);
  client.set_write_timeout(timeout);
  std::string page;
  const httplib::Result result =
      client.Get(path_start == url.size() ? "/" : url.substr(path_start), [&page](const char* data, std::size_t size) {
        if (page.size() + size > kMaxBytes) return false;  // ends the transfer
        page.append(data, size);
        return true;
      });
  if (!result) return absl::UnavailableError(absl::StrCat(url, ": no answer: ", httplib::to_string(result.error())));
  if (result->status != 200) return absl::UnavailableError(absl::StrCat(url, ": answered HTTP ", result->status));
  return page;
}

}  // namespace prefscore::cli
