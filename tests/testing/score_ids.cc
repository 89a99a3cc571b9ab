// SPDX-License-Identifier: Apache-2.0
// Scores token ids under one model folder, for tests from outside.
//
//   score_ids FOLDER [--device cpu|cuda:N|host] [--dtype float32|bfloat16] [--threads N] [--batch N] < lines > results
//
// A line is {"prompt": [ids], "completions": [[ids], ...]}, its result {"token_logps": [[...], ...],
// "is_greedy_match": [...]} with 17 significant digits or {"error": "..."}; --batch lines share one forward pass, and a fault of one is the error of all.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/models/load_model.h"

namespace prefscore {
namespace {

void PrintError(std::string_view message) {
  std::printf("%s\n", nlohmann::json{{"error", message}}.dump().c_str());
}

void PrintResult(const GroupTokenLogProbs& completions) {
  std::printf("{\"token_logps\":[");
  for (std::size_t c = 0; c < completions.size(); ++c) {
    std::printf(c == 0 ? "[" : ",[");
    const std::vector<double>& logps = completions[c].token_logps;
    for (std::size_t i = 0; i < logps.size(); ++i) std::printf(i == 0 ? "%.17g" : ",%.17g", logps[i]);
    std::printf("]");
  }
  std::printf("],\"is_greedy_match\":[");
  for (std::size_t c = 0; c < completions.size(); ++c) {
    std::printf("%s%s", c == 0 ? "" : ",", completions[c].is_greedy_match ? "true" : "false");
  }
  std::printf("]}\n");
}

void ScoreBatch(const CausalLm& model, const std::vector<PromptGroup>& batch) {
  std::vector<const PromptGroup*> groups;
  for (const PromptGroup& group : batch) groups.push_back(&group);
  const auto results = model.Forward(groups);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (results.ok()) {
      PrintResult((*results)[i]);
    } else {
      PrintError(std::string(results.status().message()));
    }
  }
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  std::string folder;
  LoadModelOptions options;
  std::size_t batch_size = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--dtype" && has_value) {
      options.dtype = argv[++i];
    } else if (argument == "--device" && has_value) {
      options.device = argv[++i];
    } else if (argument == "--threads" && has_value) {
      options.num_threads = std::atoi(argv[++i]);
    } else if (argument == "--batch" && has_value) {
      batch_size = std::max(1, std::atoi(argv[++i]));
    } else if (folder.empty() && !argument.starts_with("--")) {
      folder = argument;
    } else {
      std::cerr << "score_ids: unexpected argument " << argument << "\n";
      return 2;
    }
  }
  const auto model = LoadModel(folder, options);
  if (!model.ok()) {
    std::cerr << std::string(model.status().ToString()) << "\n";
    return 1;
  }
  std::vector<PromptGroup> batch;
  for (std::string line; std::getline(std::cin, line);) {
    const nlohmann::json row = nlohmann::json::parse(line);
    batch.push_back({row.at("prompt").get<TokenIds>(), row.at("completions").get<std::vector<TokenIds>>()});
    if (batch.size() < batch_size) continue;
    ScoreBatch(**model, batch);
    batch.clear();
  }
  if (!batch.empty()) ScoreBatch(**model, batch);
  return 0;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) { return prefscore::Main(argc, argv); }
