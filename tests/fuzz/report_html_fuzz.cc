// SPDX-License-Identifier: Apache-2.0
// Any report as a page: well-formed, and with no element but those of the page itself, whatever names and labels say.
#include <cstring>
#include <set>
#include <string>

#include "google/protobuf/stubs/logging.h"
#include "prefscore/v1/diagnostics.pb.h"
#include "server/report_html/report_html.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/message_mutator.h"
#include "tests/testing/html_fault.h"

namespace prefscore::fuzz {
namespace {

constexpr std::size_t kMaxInputBytes = 32 << 10;  // the seed has 22 KiB

// Elements that run or load something; and attributes that do, which in a page of ours occur in no tag at all.
void CheckIsInert(const std::string& page) {
  for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    const std::string tag = page.substr(at, page.find('>', at) - at);
    for (const char* const active : {"<script", "<img", "<iframe", "<object", "<link", "<base", "<form", " on", " src",
                                     "javascript:"}) {
      // Quoted values are text: what counts is what stands outside of them.
      std::string outside;
      bool is_quoted = false;
      for (const char letter : tag) {
        if (letter == '"') is_quoted = !is_quoted;
        if (!is_quoted) outside.push_back(letter);
      }
      FUZZ_CHECK(outside.find(active) == std::string::npos, tag);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const google::protobuf::LogSilencer silencer;
  v1::AnalysisReport report;
  if (size > kMaxInputBytes || !report.ParseFromArray(data, static_cast<int>(size))) return 0;
  const std::string page = report_html::ReportHtml(report, {.generated_from = report.ShortDebugString().substr(0, 99)});
  FUZZ_CHECK(testing::HtmlFault(page).empty(), testing::HtmlFault(page));
  CheckIsInert(page);
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  v1::AnalysisReport report;
  return MutateSerialized(report, data, size, max_size, seed);
}

}  // namespace prefscore::fuzz
