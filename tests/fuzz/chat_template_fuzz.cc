// SPDX-License-Identifier: Apache-2.0
// A chat template and the variables it is rendered with, through the Rust crate's entry points. Parts of the input: the
// template, the variables. A template that does not end or that grows without bound is stopped by its own limits, which
// are tighter than libFuzzer's here.
#include <string>

#include "server/tokenizer/rust_engine.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {
namespace {

constexpr char kVariables[] = R"({"messages": [{"role": "user", "content": "a<b>"}, {"role": "assistant", "content":
    ["b", 1.5, null, {"c": [true]}]}], "add_generation_prompt": true, "bos_token": "<s>", "tools": null})";

std::int64_t Refuse(void*, const char*, std::size_t, char*, std::size_t) { return -1; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = Text(data, size);
  const std::string source(NextPart(rest));
  const auto chat_template = CompileTemplate(source);
  CheckIsContained(chat_template.status());
  if (!chat_template.ok()) return 0;
  const auto text = RenderTemplate(**chat_template, rest.empty() ? kVariables : std::string(rest), &Refuse, nullptr);
  CheckIsContained(text.status());
  return 0;
}

}  // namespace prefscore::fuzz
