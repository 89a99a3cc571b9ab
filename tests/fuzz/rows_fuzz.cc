// SPDX-License-Identifier: Apache-2.0
// Rows of JSON Lines as the command line reads them: pairs, completions, log-probs, results. What it reads, it can
// send.
#include <string>

#include "client/cli/completion_rows.h"
#include "client/cli/json_lines.h"
#include "client/cli/logp_rows.h"
#include "client/cli/pair_rows.h"
#include "client/cli/result_json.h"
#include "google/protobuf/stubs/logging.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {
namespace {

template <typename Message>
void CheckCanBeSent(const Message& message) {
  Message received;
  FUZZ_CHECK(received.ParseFromString(message.SerializeAsString()), "a row makes a message that no server reads");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const google::protobuf::LogSilencer silencer;
  const std::string text(Text(data, size));
  CheckIsRefusal(cli::ParseJsonObject(text).status());
  const cli::PairRow pair = cli::ParsePairRow(text, {"label", "lang"});
  CheckIsRefusal(pair.fault);
  if (pair.fault.ok()) CheckCanBeSent(pair.pair);
  const cli::CompletionRow prompt = cli::ParseCompletionRow(text);
  CheckIsRefusal(prompt.fault);
  if (prompt.fault.ok()) CheckCanBeSent(prompt.prompt);
  const cli::LogProbRow logps = cli::ParseLogProbRow(text, {"label"});
  if (logps.fault.code() != absl::StatusCode::kOutOfRange) CheckIsRefusal(logps.fault);
  if (logps.fault.ok()) CheckCanBeSent(logps.pair);
  const auto result = cli::PairResultFromJson(text);
  if (result.ok()) {
    const auto written = cli::ResultToJson(*result);
    FUZZ_CHECK(!written.ok() || cli::PairResultFromJson(*written).ok(), "a result that was written is not read");
  }
  return 0;
}

}  // namespace prefscore::fuzz
