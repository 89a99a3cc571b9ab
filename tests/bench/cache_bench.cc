// SPDX-License-Identifier: Apache-2.0
// What the cache of log-probs costs: keys, inserts and lookups of completions of 40 tokens after prompts of 90, on one
// thread, against a store of NUM_ENTRIES entries on disk.
//
//   cache_bench [NUM_ENTRIES] [--benchmark_filter=lookup ...]      (default: 1,000,000, about 400 MB)
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "benchmark/benchmark.h"
#include "server/cache/log_prob_cache.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

constexpr std::size_t kPromptTokens = 90;
constexpr std::size_t kCompletionTokens = 40;

CacheKey KeyOf(std::uint32_t index) {
  TokenIds prompt(kPromptTokens);
  std::iota(prompt.begin(), prompt.end(), index);
  return MakeCacheKey({std::string_view("4db0a56cb86956d360326dbb065233ad880291b24c9409ecf7a131962d393218"),
                       "cpu-avx512-float32-1", "float32"},
                      prompt, TokenIds(kCompletionTokens, index));
}

// The cache under measurement, filled once.
struct Filled {
  explicit Filled(std::uint32_t num_entries)
      : cache(std::make_unique<LogProbCache>(LogProbCacheOptions{.folder = temp.path().string()})),
        num_entries(num_entries) {
    const absl::Time start = absl::Now();
    const CompletionLogProbs logps{.token_logps = std::vector<double>(kCompletionTokens, -1.0 / 3)};
    for (std::uint32_t index = 0; index < num_entries; ++index) {
      cache->Store(KeyOf(index), logps);
      if (index % 10'000 == 9'999) cache->Flush();
    }
    cache->Flush();
    std::cerr << "stored " << num_entries << " entries in " << absl::Now() - start << "\n";
  }

  prefscore::testing::TempFolder temp;
  std::unique_ptr<LogProbCache> cache;
  std::uint32_t num_entries;
};

std::optional<Filled> filled;

void BM_Key(benchmark::State& state) {
  std::uint32_t index = 0;
  for (auto _ : state) benchmark::DoNotOptimize(KeyOf(index++));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Key)->Name("key");

// Lookups of `range` completions a call, all hits (2 a pair) or all misses.
void Lookup(benchmark::State& state, std::uint32_t first, bool expect_hits) {
  const auto num_keys = static_cast<std::size_t>(state.range(0));
  std::mt19937 random(1);
  std::size_t num_hits = 0;
  for (auto _ : state) {
    std::vector<CacheKey> keys;
    for (std::size_t idx = 0; idx < num_keys; ++idx) keys.push_back(KeyOf(first + random() % filled->num_entries));
    for (const auto& logps : filled->cache->Lookup(keys)) num_hits += logps.has_value() ? 1 : 0;
  }
  if (num_hits != (expect_hits ? state.iterations() * num_keys : 0)) state.SkipWithError("not what was expected");
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * num_keys));
}
void BM_Hit(benchmark::State& state) { Lookup(state, 0, true); }
void BM_Miss(benchmark::State& state) { Lookup(state, filled->num_entries + 1000, false); }
BENCHMARK(BM_Hit)->Name("lookup/hit")->Arg(2)->Arg(64)->Arg(2048);
BENCHMARK(BM_Miss)->Name("lookup/miss")->Arg(2)->Arg(64)->Arg(2048);

// What the scoring thread pays for an entry, key included; the writing thread is paused for between rounds.
void BM_Store(benchmark::State& state) {
  const CompletionLogProbs logps{.token_logps = std::vector<double>(kCompletionTokens, -1.0 / 3)};
  std::uint32_t index = 1u << 30;
  for (auto _ : state) {
    filled->cache->Store(KeyOf(index++), logps);
    if (index % 10'000 > 0) continue;
    state.PauseTiming();
    filled->cache->Flush();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Store)->Name("store");

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  std::uint32_t num_entries = 1'000'000;
  if (argc > 1 && !absl::SimpleAtoi(argv[1], &num_entries)) {
    std::cerr << argv[1] << " is not a number of entries\n";
    return 2;
  }
  prefscore::filled.emplace(num_entries);
  benchmark::RunSpecifiedBenchmarks();
  prefscore::filled.reset();
}
