// SPDX-License-Identifier: Apache-2.0
// What `prefscore top` makes of two scrapes of some server: lines for a terminal, whatever stands there. Parts of the
// input: the scrape before, the one after.
#include <string>

#include "client/cli/top/view.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = Text(data, size);
  const auto before = cli::Scrape::Parse(std::string(NextPart(rest)));
  CheckIsRefusal(before.status());
  const auto after = cli::Scrape::Parse(std::string(rest));
  CheckIsRefusal(after.status());
  if (!before.ok() || !after.ok()) return 0;
  const cli::Interval interval(*before, *after, 2);
  for (const std::string& line : cli::TopView(interval, "http://127.0.0.1/metrics", absl::FromUnixSeconds(3700))) {
    for (const char byte : line) {
      FUZZ_CHECK((byte & 0xe0) != 0 && byte != 0x7f, "a control character: " + line);
    }
  }
  return 0;
}

}  // namespace prefscore::fuzz
