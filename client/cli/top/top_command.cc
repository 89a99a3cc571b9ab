// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/top_command.h"

#include <unistd.h>

#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/top/http_get.h"
#include "client/cli/top/scrape.h"
#include "client/cli/top/terminal.h"
#include "client/cli/top/view.h"
#include "client/cpp/channel.h"
#include "server/util/status_macros.h"

namespace prefscore::cli {
namespace {

struct TimedScrape {
  Scrape scrape;
  absl::Time time;
};

// HOST:PORT of a URL.
std::string AddressOf(const std::string& url) {
  const std::size_t begin = url.find("://") + 3;
  const std::string authority = url.substr(begin, url.find('/', begin) - begin);
  return authority.find(':') == std::string::npos || authority.back() == ']' ? authority + ":80" : authority;
}

absl::StatusOr<HttpOptions> HttpOptionsOf(const TopOptions& options) {
  ServerOptions server;
  server.has_tls = options.metrics_url.starts_with("https://");
  server.token_file = options.token_file;
  ASSIGN_OR_RETURN(const client::SecurityOptions security, ReadSecurity(server));
  RETURN_IF_ERROR(client::CheckSecurity(AddressOf(options.metrics_url), security));
  return HttpOptions{.bearer_token = security.token, .ca_file = options.ca_file};
}

absl::StatusOr<TimedScrape> Take(const std::string& url, const HttpOptions& http) {
  const absl::StatusOr<std::string> page = HttpGet(url, http);
  if (!page.ok()) return page.status();
  const absl::Time time = absl::Now();
  absl::StatusOr<Scrape> scrape = Scrape::Parse(*page);
  if (!scrape.ok()) return absl::InvalidArgumentError(absl::StrCat(url, ": ", std::string(scrape.status().message())));
  if (scrape->Of("prefscore_build_info").empty()) {
    return absl::InvalidArgumentError(absl::StrCat(url, ": these are not the metrics of a prefscore server"));
  }
  return TimedScrape{*std::move(scrape), time};
}

std::vector<std::string> ViewOf(const TimedScrape& before, const TimedScrape& after, const std::string& url) {
  const Interval interval(before.scrape, after.scrape, absl::ToDoubleSeconds(after.time - before.time));
  return TopView(interval, url, after.time);
}

int RunOnce(const TopOptions& options, const HttpOptions& http) {
  const auto before = Take(options.metrics_url, http);
  if (!before.ok()) return Fail(before.status());
  absl::SleepFor(options.interval);
  const auto after = Take(options.metrics_url, http);
  if (!after.ok()) return Fail(after.status());
  for (const std::string& line : ViewOf(*before, *after, options.metrics_url)) std::cout << line << "\n";
  return kAllDone;
}

// Where the server is away, the last view stays, with a line that says so, until it is back.
int RunLive(const TopOptions& options, const HttpOptions& http) {
  Screen screen;
  std::optional<TimedScrape> before;
  std::vector<std::string> view = {"", "waiting for two scrapes of " + options.metrics_url + "; q leaves"};
  do {
    absl::StatusOr<TimedScrape> after = Take(options.metrics_url, http);
    if (after.ok()) {
      if (before.has_value()) view = ViewOf(*before, *after, options.metrics_url);
      before = *std::move(after);
      screen.Draw(view);
    } else {
      std::vector<std::string> away = view;
      away[0] = absl::StrCat("NOT REACHED ", absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()), "  ",
                             std::string(after.status().message()));
      screen.Draw(away);
    }
  } while (screen.Wait(options.interval));
  return kAllDone;
}

}  // namespace

int RunTop(const TopOptions& options) {
  const absl::StatusOr<HttpOptions> http = HttpOptionsOf(options);
  if (!http.ok()) return Fail(http.status());
  if (options.once) return RunOnce(options, *http);
  if (isatty(STDOUT_FILENO) == 0) {
    return Fail(
        absl::FailedPreconditionError("top draws on a terminal, which standard output is not; --once prints text"));
  }
  return RunLive(options, *http);
}

}  // namespace prefscore::cli
