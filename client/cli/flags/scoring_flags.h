// SPDX-License-Identifier: Apache-2.0
// Flags of requests that run models, whichever message has the fields.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "CLI/CLI.hpp"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::cli {

inline const std::map<std::string, v1::TruncationPolicy> kTruncationPolicies = {
    {"error", v1::TRUNCATION_POLICY_ERROR},
    {"keep-start", v1::TRUNCATION_POLICY_KEEP_START},
    {"keep-prompt-end", v1::TRUNCATION_POLICY_KEEP_PROMPT_END}};
inline const std::map<std::string, v1::Priority> kPriorities = {{"interactive", v1::PRIORITY_INTERACTIVE},
                                                         {"bulk", v1::PRIORITY_BULK}};

inline const std::map<std::string, v1::CacheMode> kCacheModes = {{"read-write", v1::CACHE_MODE_READ_WRITE},
                                                          {"bypass", v1::CACHE_MODE_BYPASS},
                                                          {"refresh", v1::CACHE_MODE_REFRESH},
                                                          {"read-only", v1::CACHE_MODE_READ_ONLY}};

// Which models.
inline void AddModelFlags(CLI::App& app, v1::ScoringOptions& message) {
  app.add_option_function<std::string>(
      "--policy", [&message](const std::string& name) { message.set_policy(name); },
      "Name of the policy model; default: the server's policy");
  app.add_option_function<std::string>(
      "--reference", [&message](const std::string& name) { message.set_reference(name); },
      "Name of the reference model; default: the server's reference");
}

// What to do with the server's cache of log-probs; `Message` has the fields.
template <typename Message>
void AddCacheFlags(CLI::App& app, Message& message) {
  app.add_option_function<std::string>(
         "--cache", [&message](const std::string& name) { message.set_cache_mode(kCacheModes.at(name)); },
         "What to do with the server's cache of log-probs; refresh computes all and replaces what is cached")
      ->check(CLI::IsMember(kCacheModes))
      ->default_str("read-write");
  app.add_flag_callback(
      "--cache-policy", [&message] { message.set_cache_policy(true); },
      "Use the cache for the policy's log-probs too, not only for the reference's");
}

// The options that pairs and completions share; `Message` has their fields.
template <typename Message>
void AddScoringFlags(CLI::App& app, Message& message) {
  message.set_profile("trl");
  message.set_truncation_policy(v1::TRUNCATION_POLICY_ERROR);
  message.set_priority(v1::PRIORITY_BULK);  // files are datasets
  app.add_option_function<std::string>(
         "--profile", [&](const std::string& profile) { message.set_profile(profile); },
         "How text becomes token ids: trl (as TRL's DPOTrainer), or ids (rows must be token ids)")
      ->default_str("trl");
  app.add_option_function<std::string>(
         "--truncation", [&](const std::string& name) { message.set_truncation_policy(kTruncationPolicies.at(name)); },
         "What to do with a row over the length limit")
      ->check(CLI::IsMember(kTruncationPolicies))
      ->default_str("error");
  app.add_option_function<std::uint32_t>(
         "--max-length", [&](const std::uint32_t& length) { message.set_max_length(length); },
         "Longest prompt + completion, in tokens; default: the models' limit")
      ->check(CLI::PositiveNumber);
  app.add_option_function<std::string>(
         "--priority", [&](const std::string& name) { message.set_priority(kPriorities.at(name)); },
         "Who goes first at a busy server: interactive (somebody waits) or bulk")
      ->check(CLI::IsMember(kPriorities))
      ->default_str("bulk");
  app.add_flag_callback(
      "--per-token", [&] { message.set_return_token_logps(true); }, "Write the log-prob of each token too");
  AddCacheFlags(app, message);
}

}  // namespace prefscore::cli
