// SPDX-License-Identifier: Apache-2.0
#include "server/config/transport_options.h"

#include <CLI/App.hpp>

#include "absl/strings/str_cat.h"
#include "server/config/option_checks.h"
#include "server/util/host_port.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr char kGroup[] = "Transport security";

absl::Status CheckNotPlaintext(const TransportOptions& options, const char* flag, const std::string& address) {
  if (address.empty() || !options.tls.certificate.empty() || options.allow_plaintext || IsLoopback(address)) {
    return absl::OkStatus();
  }
  return FlagError(flag, absl::StrCat("'", address,
                                      "' can be reached from other machines, and nothing protects what travels there. "
                                      "Give --tls-certificate and --tls-key, or --allow-plaintext where you trust the "
                                      "network, or listen on 127.0.0.1"));
}

}  // namespace

void AddOptions(CLI::App& app, TransportOptions& options) {
  app.add_option("--tls-certificate", options.tls.certificate,
                 "PEM file of the certificate that all listeners serve, then of those that lead to its authority; "
                 "taken again when it is replaced. Without it they serve plain text")
      ->type_name("FILE")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--tls-key", options.tls.key, "PEM file of the certificate's key, not encrypted")
      ->type_name("FILE")
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--tls-client-ca", options.tls.client_ca,
                 "PEM file of the authorities one of which must have certified a client; without it any client may connect")
      ->type_name("FILE")
      ->group(kGroup)
      ->capture_default_str();
  app.add_flag("--allow-plaintext", options.allow_plaintext,
               "Serve plain text to other machines too: who is on the way reads and changes it")
      ->group(kGroup)
      ->default_str("false");
  app.add_option("--reflection", options.reflection,
                 "Whether clients may ask what services there are: on, off, or auto, which is on where --listen is "
                 "loopback")
      ->type_name("WHEN")
      ->group(kGroup)
      ->capture_default_str();
}

absl::Status CheckOptions(const TransportOptions& options, const ListenOptions& listen) {
  if (options.tls.certificate.empty() != options.tls.key.empty()) {
    return options.tls.key.empty() ? FlagError("--tls-certificate", "needs --tls-key too")
                                   : FlagError("--tls-key", "needs --tls-certificate too");
  }
  if (options.tls.certificate.empty() && !options.tls.client_ca.empty()) {
    return FlagError("--tls-client-ca", "needs --tls-certificate and --tls-key too");
  }
  RETURN_IF_ERROR(CheckNotPlaintext(options, "--listen", listen.grpc));
  RETURN_IF_ERROR(CheckNotPlaintext(options, "--metrics-listen", listen.metrics));
  RETURN_IF_ERROR(CheckNotPlaintext(options, "--admin-listen", listen.admin));
  return CheckOneOf("--reflection", options.reflection, {"auto", "on", "off"});
}

bool HasReflection(const TransportOptions& options, const ListenOptions& listen) {
  return options.reflection == "auto" ? IsLoopback(listen.grpc) : options.reflection == "on";
}

}  // namespace prefscore
