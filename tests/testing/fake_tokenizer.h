// SPDX-License-Identifier: Apache-2.0
// A tokenizer whose ids a test can work out by hand.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/tokenizer/tokenizer.h"

namespace prefscore::testing {

// Each byte is its own id; the special token added in front is 1. The EOS text is "$". A conversation reads
// "role:content;" for each message, then "assistant:" where a generation prompt is asked for.
class FakeTokenizer final : public Tokenizer {
 public:
  explicit FakeTokenizer(std::string fingerprint) : fingerprint_(std::move(fingerprint)) {}

  // Text that contains this makes Encode throw. Set before the tokenizer is used.
  void ThrowAt(std::string text) { thrown_at_ = std::move(text); }

  absl::StatusOr<TokenIds> Encode(const std::string& text, bool add_special_tokens) const override {
    if (!thrown_at_.empty() && text.find(thrown_at_) != std::string::npos) throw std::runtime_error(thrown_at_);
    TokenIds ids;
    if (add_special_tokens) ids.push_back(1);
    for (const char c : text) ids.push_back(static_cast<std::uint8_t>(c));
    return ids;
  }

  absl::StatusOr<RenderedChat> RenderChat(const ChatTemplateInput& input) const override {
    RenderedChat chat;
    for (const auto& message : nlohmann::json::parse(input.messages_json)) {
      chat.text += message.value("role", "") + ":" + message.value("content", "") + ";";
    }
    if (input.add_generation_prompt) chat.text += "assistant:";
    return chat;
  }

  bool has_chat_template() const override { return true; }
  const std::string& eos_token() const override { return eos_token_; }
  std::int64_t vocab_size() const override { return 256; }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  const std::string fingerprint_;
  const std::string eos_token_ = "$";
  std::string thrown_at_;
};

}  // namespace prefscore::testing
