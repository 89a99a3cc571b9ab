// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/exposer.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prometheus/exposer.h"

namespace prefscore {

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    const std::string& address, Sources sources) {
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address);
    for (const auto& source : sources) exposer->RegisterCollectable(source);
    return std::unique_ptr<MetricsExposer>(new MetricsExposer(std::move(sources), std::move(exposer)));
  } catch (const std::exception&) {  // its text says only "null context when constructing CivetServer"
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address,
                                               ": the port is in use or the address is not this machine's"));
  }
}

MetricsExposer::MetricsExposer(Sources sources, std::unique_ptr<prometheus::Exposer> exposer)
    : sources_(std::move(sources)), exposer_(std::move(exposer)) {}
MetricsExposer::~MetricsExposer() = default;

int MetricsExposer::port() const { return exposer_->GetListeningPorts().front(); }

}  // namespace prefscore
