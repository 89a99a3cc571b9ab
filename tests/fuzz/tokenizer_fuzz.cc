// SPDX-License-Identifier: Apache-2.0
// A tokenizer.json and a text for it, through the Rust crate's entry points. Parts of the input: the file, the text.
#include <string>

#include "server/tokenizer/rust_engine.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = Text(data, size);
  const std::string file(NextPart(rest));
  const std::string text(rest);
  const auto tokenizer =
      LoadRustTokenizer(file, R"({"add_tokens": [], "split_special_tokens": false, "rebuild": null})");
  CheckIsContained(tokenizer.status());
  if (!tokenizer.ok()) return 0;
  const auto identity = TokenizerIdentity(**tokenizer);
  FUZZ_CHECK(identity.ok(), identity.status().ToString());
  for (const bool add_special_tokens : {false, true}) {
    const auto ids = EncodeText(**tokenizer, text, add_special_tokens);
    CheckIsContained(ids.status());
    if (!ids.ok()) continue;
    for (const TokenId id : *ids) {
      FUZZ_CHECK(id < prefscore_tokenizer_vocab_size(tokenizer->get()), "an id outside the vocabulary");
    }
  }
  return 0;
}

}  // namespace prefscore::fuzz
