// SPDX-License-Identifier: Apache-2.0
// --objective and --sweep: what is read is written so that it reads back to the same.
#include <string>

#include "client/cli/objective_flag.h"
#include "client/cli/sweep_flag.h"
#include "server/messages/objective_messages.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = Text(data, size);
  const std::string objective_flag(NextPart(rest));
  CheckIsRefusal(cli::ParseSweepFlag(std::string(rest)).status());
  const auto objective = cli::ParseObjectiveFlag(objective_flag);
  CheckIsRefusal(objective.status());
  if (!objective.ok()) return 0;
  google::protobuf::RepeatedPtrField<v1::Objective> objectives;
  *objectives.Add() = *objective;
  const auto resolved = ObjectivesFromProto(objectives, "objectives", 64);
  CheckIsRefusal(resolved.status());
  if (!resolved.ok()) return 0;
  const std::string written = cli::FormatObjective(*objective);
  const auto again = cli::ParseObjectiveFlag(written);
  FUZZ_CHECK(again.ok(), written);
  FUZZ_CHECK(cli::FormatObjective(*again) == written, written);
  return 0;
}

}  // namespace prefscore::fuzz
