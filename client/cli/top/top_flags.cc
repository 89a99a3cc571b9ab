// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/top_flags.h"

#include <string>

namespace prefscore::cli {
namespace {

constexpr char kDescription[] =
    "Shows live what a server does: rates, latency, queue, models, margins, cache.\n\n"
    "Examples:\n"
    "  prefscore top --metrics localhost:9464\n"
    "  prefscore top --metrics scorer:9464 --tls-ca ca.pem --token-file metrics.token --once\n\n"
    "Numbers are of the last interval; q leaves. \"errors\" are calls that ended with another code than OK; \"busy\" is\n"
    "the share of the time that a model's forward passes took; p50 and p99 of the queue are of the wait in it; model\n"
    "margins are in nats.";

// HOST:PORT is short for the page that a server serves, and so is a URL that ends there.
std::string UrlOf(const std::string& metrics, bool is_tls) {
  const std::string scheme = is_tls ? "https://" : "http://";
  const std::string url = metrics.find("://") == std::string::npos ? scheme + metrics : metrics;
  return url.find('/', url.find("://") + 3) == std::string::npos ? url + "/metrics" : url;
}

}  // namespace

CLI::App* AddTop(CLI::App& app, TopOptions& options) {
  CLI::App* top = app.add_subcommand("top", kDescription);
  top->add_option("--metrics", options.metrics_url, "HOST:PORT or URL of the server's metrics (its --metrics-listen)")
      ->capture_default_str();
  top->add_option_function<double>(
         "--interval", [&options](const double& seconds) { options.interval = absl::Seconds(seconds); },
         "Seconds between two looks")
      ->check(CLI::Range(0.1, 3600.0))
      ->default_str("1");
  top->add_flag("--once", options.once, "Print one interval as text, for scripts, and end");
  top->add_option("--token-file", options.token_file, "File with the token of a server that asks for one");
  top->add_option("--tls-ca", options.ca_file,
                  "PEM file of the authorities one of which has certified the server; HOST:PORT then means https")
      ->check(CLI::ExistingFile);
  top->parse_complete_callback([&options] {
    options.metrics_url = UrlOf(options.metrics_url, !options.ca_file.empty());
  });
  return top;
}

}  // namespace prefscore::cli
