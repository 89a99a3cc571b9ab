// SPDX-License-Identifier: Apache-2.0
// How what travels to and from the listeners is protected. One certificate serves all of them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "server/config/listen_options.h"
#include "server/tls/tls_material.h"

namespace CLI {
class App;
}

namespace prefscore {

struct TransportOptions {
  TlsFiles tls = {};
  bool allow_plaintext = false;     // beyond loopback
  std::string reflection = "auto";  // "auto" | "on" | "off"
};

void AddOptions(CLI::App& app, TransportOptions& options);
// Whether the files fit each other, and no listener serves plain text beyond loopback unless asked to. The files are
// read when the server starts.
absl::Status CheckOptions(const TransportOptions& options, const ListenOptions& listen);

// Whether clients may ask what services there are. "auto": where only this machine can reach the server.
bool HasReflection(const TransportOptions& options, const ListenOptions& listen);

}  // namespace prefscore
