// SPDX-License-Identifier: Apache-2.0
// The configuration file: refused with a message, or read to what its own printed form reads to again.
#include <string>

#include "server/config/config.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {
namespace {

absl::StatusOr<CommandLine> Read(const InputFolder& folder, std::string_view text) {
  folder.Write("config.toml", text);
  const std::string path = (folder.path() / "config.toml").string();
  const char* const arguments[] = {"prefscore-server", "--config", path.c_str()};
  return ParseCommandLine(static_cast<int>(std::size(arguments)), arguments);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const InputFolder folder;
  const auto first = Read(folder, Text(data, size));
  CheckIsRefusal(first.status());
  if (!first.ok() || !first->text.empty()) return 0;
  const auto second = Read(folder, first->effective);
  FUZZ_CHECK(second.ok(), second.status().ToString() + " for\n" + first->effective);
  FUZZ_CHECK(second->effective == first->effective, first->effective + "\nbecame\n" + second->effective);
  return 0;
}

}  // namespace prefscore::fuzz
