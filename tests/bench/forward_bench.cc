// SPDX-License-Identifier: Apache-2.0
// Pairs per second of the decoder alone, beside the ceiling that the GEMM kernels set in the same run.
//
//   forward_bench [--dtype float32|bfloat16] [--threads N] [--groups-per-forward N] [--repeats N]
//
// Two random Llamas of 125 million parameters (a policy and a reference) score 24 pairs of about 90 / 40 / 40 tokens.
// The ceiling is the work of their matrix products, counted without attention, at the rate of one large product.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/models/decoder.h"
#include "server/models/packed_batch.h"
#include "server/models/packed_linear.h"
#include "tests/testing/random_decoder.h"

namespace prefscore {
namespace {

// Now, by the clock on the wall and by the processors' time that this process has had: the second is fair to a machine
// that others use too.
struct Time {
  double wall = 0.0;
  double cpu = 0.0;
};

Time Now() {
  return {std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(),
          static_cast<double>(std::clock()) / CLOCKS_PER_SEC};
}

Time Since(const Time& start) { return {Now().wall - start.wall, Now().cpu - start.cpu}; }

Time Shortest(const Time& a, const Time& b) { return {std::min(a.wall, b.wall), std::min(a.cpu, b.cpu)}; }

std::vector<PromptGroup> MakePairs(std::int64_t vocab_size) {
  std::mt19937 random(7);
  const auto tokens = [&](int mean) {
    TokenIds ids(mean / 2 + random() % (mean + 1));
    for (TokenId& id : ids) id = random() % vocab_size;
    return ids;
  };
  std::vector<PromptGroup> pairs(24);
  for (PromptGroup& pair : pairs) pair = {tokens(90), {tokens(40), tokens(40)}};
  return pairs;
}

// Multiply-adds, times two, of all matrix products of one model over the pairs.
double GemmOperations(const DecoderConfig& config, const std::vector<PromptGroup>& pairs) {
  const double hidden = static_cast<double>(config.hidden_size);
  const double kv_width = 2.0 * static_cast<double>(config.num_kv_heads * config.head_dim);
  const double row_width = hidden + hidden + 3.0 * static_cast<double>(config.intermediate_size);
  const double layers = static_cast<double>(config.layers.size());
  double operations = 0.0;
  for (const PromptGroup& pair : pairs) {
    const PromptGroup* group = &pair;
    const PackedBatch batch = PackGroups(std::span(&group, 1), config.ropes);
    const double rows = static_cast<double>(batch.num_rows());
    const double head_rows = static_cast<double>(batch.head_rows.size());
    operations += 2.0 * hidden * (rows * kv_width * layers + rows * row_width * (layers - 1.0) + head_rows * row_width +
                                  head_rows * static_cast<double>(config.vocab_size));
  }
  return operations;
}

constexpr std::int64_t kCeilingRows = 1024, kCeilingIn = 768, kCeilingOut = 3072, kCeilingRuns = 20;
constexpr double kCeilingOperations = 2.0 * kCeilingRows * kCeilingIn * kCeilingOut * kCeilingRuns;

// Time of kCeilingRuns products [1024 x 768] x [768 x 3072].
Time TimeGemm(Precision precision, const ThreadPool& pool) {
  const std::vector<float> values(kCeilingIn * kCeilingOut, 0.01f);
  const LinearView view{.weight = {.data = reinterpret_cast<const std::byte*>(values.data()),
                                   .num_out = kCeilingOut,
                                   .num_in = kCeilingIn,
                                   .out_stride = kCeilingIn},
                        .bias = {}};
  const PackedLinear linear(std::span(&view, 1), precision, pool);
  GemmInput input(precision, kCeilingRows, kCeilingIn);
  for (std::int64_t row = 0; row < kCeilingRows; ++row) input.Store(row, 0, values.data(), kCeilingIn);
  Matrix<float> output(kCeilingRows, kCeilingOut);
  linear.Multiply(input, pool, output);
  const Time start = Now();
  for (int i = 0; i < kCeilingRuns; ++i) linear.Multiply(input, pool, output);
  return Since(start);
}

Time TimeForward(const CausalLm& model, const std::vector<PromptGroup>& pairs, std::size_t groups_per_forward) {
  const Time start = Now();
  for (std::size_t first = 0; first < pairs.size(); first += groups_per_forward) {
    std::vector<const PromptGroup*> groups;
    for (std::size_t i = first; i < std::min(pairs.size(), first + groups_per_forward); ++i) groups.push_back(&pairs[i]);
    if (!model.Forward(groups).ok()) std::abort();
  }
  return Since(start);
}

void Measure(const std::string& dtype, int num_threads, std::size_t groups_per_forward, int num_repeats) {
  const DecoderConfig config = testing::LlamaConfig(12, 768, 12, 12, 2048, 51200);
  std::vector<std::shared_ptr<const CausalLm>> models;
  for (std::uint32_t seed : {1, 2}) {
    const auto weights = testing::MakeRandomWeights(config, seed);
    const auto model = MakeDecoder(config, weights->views, dtype, num_threads, {});
    if (!model.ok()) {
      std::printf("%s: %s\n", dtype.c_str(), std::string(model.status().message()).c_str());
      return;
    }
    models.push_back(*model);
  }
  const std::vector<PromptGroup> pairs = MakePairs(config.vocab_size);
  const ThreadPool pool(num_threads);
  const Precision precision = *ParsePrecision(dtype);
  Time gemm{1e30, 1e30}, policy = gemm, reference = gemm;
  for (int i = 0; i < num_repeats; ++i) {
    gemm = Shortest(gemm, TimeGemm(precision, pool));
    policy = Shortest(policy, TimeForward(*models[0], pairs, groups_per_forward));
    reference = Shortest(reference, TimeForward(*models[1], pairs, groups_per_forward));
  }
  const double operations = 2.0 * GemmOperations(config, pairs);
  const double num_pairs = static_cast<double>(pairs.size());
  const auto print = [&](const char* clock, double gemm_seconds, double forward_seconds) {
    const double ceiling = kCeilingOperations / gemm_seconds;
    std::printf("%-8s  %s time: %.2f pairs/s, %.0f GFLOP/s: %.0f %% of the GEMM ceiling of %.0f GFLOP/s, %.2f pairs/s\n",
                dtype.c_str(), clock, num_pairs / forward_seconds, operations / forward_seconds / 1e9,
                100.0 * operations / forward_seconds / ceiling, ceiling / 1e9, num_pairs * ceiling / operations);
  };
  print("wall", gemm.wall, policy.wall + reference.wall);
  print("CPU ", gemm.cpu, policy.cpu + reference.cpu);
}

int Main(int argc, char** argv) {
  int num_threads = 2, groups_per_forward = 1, num_repeats = 3;
  std::vector<std::string> dtypes = {"float32", "bfloat16"};
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--dtype") == 0) dtypes = {argv[i + 1]};
    if (std::strcmp(argv[i], "--threads") == 0) num_threads = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--groups-per-forward") == 0) groups_per_forward = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--repeats") == 0) num_repeats = std::atoi(argv[i + 1]);
  }
  for (const std::string& dtype : dtypes) Measure(dtype, num_threads, groups_per_forward, num_repeats);
  return 0;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) { return prefscore::Main(argc, argv); }
