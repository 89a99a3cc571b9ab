// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzzed_callers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/access/new_token.h"

namespace prefscore::fuzz {
namespace {

// In every token of the file, and in no header of an input: so those know no token.
constexpr char kMark = '#';

std::string TokenOf(const FuzzedCaller& caller) { return absl::StrCat(caller.name, std::string(1, kMark)); }

// A high rate: streams pause for milliseconds.
constexpr char kQuota[] = "tokens_per_second = 1e6\nburst_tokens = 64\nconcurrent_tokens = 64\n";

}  // namespace

const std::vector<FuzzedCaller> kCallers = {
    {"everything", TokenKind::kKnown, {Role::kScore, Role::kAdmin, Role::kMetrics}},
    {"scorer", TokenKind::kKnown, {Role::kScore}},
    {"limited", TokenKind::kKnown, {Role::kScore}, kQuota},
    {"admin", TokenKind::kKnown, {Role::kAdmin}},
    {"metrics", TokenKind::kKnown, {Role::kMetrics}},
    {"expired", TokenKind::kExpired, {Role::kScore, Role::kAdmin}, "expires = 2001-01-01\n"},
    {"unknown", TokenKind::kUnknown},
    {"twice", TokenKind::kTwice},
    {"none", TokenKind::kNone},
    {"from the input", TokenKind::kFromInput},
};

std::string TokenFileText() {
  std::string text;
  for (const FuzzedCaller& caller : kCallers) {
    if (!caller.roles.empty()) {
      absl::StrAppend(&text, TokenFileEntry(caller.name, caller.roles, TokenOf(caller)), caller.quota);
    }
  }
  return text;
}

grpc::StatusCode RefusalOf(const FuzzedCaller& caller, Role role) {
  if (caller.kind != TokenKind::kKnown) return grpc::UNAUTHENTICATED;
  const bool may = std::find(caller.roles.begin(), caller.roles.end(), role) != caller.roles.end();
  return may ? grpc::OK : grpc::PERMISSION_DENIED;
}

CallMetadata MetadataOf(const FuzzedCaller& caller, std::string_view header) {
  std::string text;
  for (const char byte : header) {
    if (byte >= ' ' && byte <= '~' && byte != kMark) text.push_back(byte);
  }
  CallMetadata metadata;
  if (!text.empty()) metadata = {{"traceparent", text}, {"x-request-id", text}};
  if (caller.kind == TokenKind::kNone) return metadata;
  const bool is_twice = caller.kind == TokenKind::kTwice;  // a token that would be good alone
  std::string authorization = absl::StrCat("Bearer ", TokenOf(is_twice ? kCallers.front() : caller));
  if (caller.kind == TokenKind::kFromInput) authorization = text;
  metadata.insert(metadata.end(), is_twice ? 2 : 1, {"authorization", authorization});
  return metadata;
}

}  // namespace prefscore::fuzz
