// SPDX-License-Identifier: Apache-2.0
// The engine called in process: no gRPC, no tokenizer, no scheduler. A contender of run.py; speaks contender.py's
// protocol on standard input and output.
//
//   engine_contender POLICY_DIR REFERENCE_DIR DTYPE THREADS MAX_BATCH_TOKENS PAIRS_FILE
//
// PAIRS_FILE holds a JSON list of {"prompt": [ids], "completions": [[ids], [ids]]}.
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/models/load_model.h"
#include "server/scoring/completion_scores.h"

namespace prefscore {
namespace {

using nlohmann::json;

[[noreturn]] void Fail(const std::string& message) {
  std::cerr << "engine_contender: " << message << "\n";
  std::exit(1);
}

std::vector<PromptGroup> ReadPairs(const std::string& path) {
  std::ifstream file(path);
  std::vector<PromptGroup> pairs;
  for (const json& row : json::parse(file)) {
    pairs.push_back({row.at("prompt").get<TokenIds>(), row.at("completions").get<std::vector<TokenIds>>()});
  }
  return pairs;
}

// [pairs][policy chosen, policy rejected, reference chosen, reference rejected], in batches as the server packs them:
// in order, under the token budget, both models on one batch back to back.
std::vector<std::vector<double>> Score(const std::vector<std::shared_ptr<const CausalLm>>& models,
                                       const std::vector<PromptGroup>& pairs, std::int64_t max_batch_tokens) {
  std::vector<std::vector<double>> logps(pairs.size());
  for (std::size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
    std::vector<const PromptGroup*> batch;
    for (std::int64_t num_tokens = 0; end < pairs.size(); ++end) {
      num_tokens += pairs[end].num_tokens();
      if (!batch.empty() && num_tokens > max_batch_tokens) break;
      batch.push_back(&pairs[end]);
    }
    for (const auto& model : models) {
      const auto scores = ScoreCompletions(*model, batch);
      if (!scores.ok()) Fail(std::string(scores.status().message()));
      for (std::size_t i = 0; i < batch.size(); ++i) {
        for (const CompletionScore& score : (*scores)[i]) logps[begin + i].push_back(score.logp);
      }
    }
  }
  return logps;
}

int Main(int argc, char** argv) {
  if (argc != 7) Fail("expected POLICY_DIR REFERENCE_DIR DTYPE THREADS MAX_BATCH_TOKENS PAIRS_FILE");
  std::vector<std::shared_ptr<const CausalLm>> models;
  for (const char* folder : {argv[1], argv[2]}) {
    auto model = LoadModel(folder, {.dtype = argv[3], .num_threads = std::atoi(argv[4])});
    if (!model.ok()) Fail(std::string(model.status().message()));
    models.push_back(*std::move(model));
  }
  const std::int64_t max_batch_tokens = std::atoll(argv[5]);
  const std::vector<PromptGroup> pairs = ReadPairs(argv[6]);
  std::cout << json{{"ready", "prefscore's engine called in process, " + models.front()->info().numerics_mode}}
            << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto start = std::chrono::steady_clock::now();
    const auto logps = Score(models, pairs, max_batch_tokens);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::cout << json{{"seconds", elapsed.count()}, {"logps", logps}} << std::endl;
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::cout << json{{"peak_rss_bytes", usage.ru_maxrss * 1024}} << std::endl;
  return 0;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) { return prefscore::Main(argc, argv); }
