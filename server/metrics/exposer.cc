// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/exposer.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prometheus/exposer.h"

namespace prefscore {

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    const std::string& address, const std::shared_ptr<prometheus::Registry>& registry) {
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address);
    exposer->RegisterCollectable(registry);
    return std::unique_ptr<MetricsExposer>(new MetricsExposer(std::move(exposer)));
  } catch (const std::exception&) {  // its text says only "null context when constructing CivetServer"
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address,
                                               ": the port is in use or the address is not this machine's"));
  }
}

MetricsExposer::MetricsExposer(std::unique_ptr<prometheus::Exposer> exposer) : exposer_(std::move(exposer)) {}
MetricsExposer::~MetricsExposer() = default;

int MetricsExposer::port() const { return exposer_->GetListeningPorts().front(); }

}  // namespace prefscore
