// SPDX-License-Identifier: Apache-2.0
// Pairs per second of objectives and of the analysis of a set of pairs, on one thread, from memory. diagnostics.py runs
// it beside numpy; by itself:
//
//   diagnostics_bench [--num_pairs N] [--benchmark_filter=evaluate/sigmoid ...]
//   diagnostics_bench [--num_pairs N] --dump FOLDER   measures nothing, writes inputs and results for others to
//   compare:
//     pairs.f64              [6, N]   log-probs pc, pr, rc, rr and token counts of chosen and rejected
//     evaluate-NAME.f64      [11, N]  in the order of ObjectiveColumn
//     report.json                     of the analysis with the default sweep
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "server/diagnostics/analyzer.h"
#include "server/objectives/objective.h"
#include "tests/bench/report_json.h"

namespace prefscore {
namespace {

constexpr std::size_t kNumInputs = kNumRejectedTokens + 1;

// Columns one after the other, as the rows of a numpy array.
class Table {
 public:
  Table(std::size_t num_columns, std::size_t num_pairs) : num_pairs_(num_pairs), numbers_(num_columns * num_pairs) {}

  std::size_t num_pairs() const { return num_pairs_; }
  double* column(std::size_t which) { return numbers_.data() + which * num_pairs_; }
  const double* column(std::size_t which) const { return numbers_.data() + which * num_pairs_; }

  void Write(const std::string& path) const {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(numbers_.data()),
               static_cast<std::streamsize>(numbers_.size() * sizeof(double)));
    if (file.flush()) return;
    std::cerr << "cannot write " << path << '\n';
    std::exit(1);
  }

 private:
  std::size_t num_pairs_;
  std::vector<double> numbers_;
};

// Completions of about 45 tokens and -60 nats under the reference; the policy has moved away from it by some nats, more
// often than not towards the chosen completion.
Table MakeInputs(std::size_t num_pairs) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  const auto num_tokens = [&] { return std::clamp(std::round(std::exp(3.7 + 0.5 * normal(random))), 1.0, 1024.0); };
  const auto logp = [](double value) { return std::min(value, -1e-3); };
  Table inputs(kNumInputs, num_pairs);
  for (std::size_t i = 0; i < num_pairs; ++i) {
    const double num_chosen = num_tokens();
    const double num_rejected = num_tokens();
    const double difficulty = 1.35 + 0.25 * normal(random);  // nats per token; of the prompt, so of both completions
    const double reference_chosen = logp(-num_chosen * (difficulty + 0.15 * normal(random)));
    const double reference_rejected = logp(-num_rejected * (difficulty + 0.15 * normal(random)));
    inputs.column(kPolicyChosenLogp)[i] = logp(reference_chosen - 1 + 4 * normal(random));
    inputs.column(kPolicyRejectedLogp)[i] = logp(reference_rejected - 4 + 6 * normal(random));
    inputs.column(kReferenceChosenLogp)[i] = reference_chosen;
    inputs.column(kReferenceRejectedLogp)[i] = reference_rejected;
    inputs.column(kNumChosenTokens)[i] = num_chosen;
    inputs.column(kNumRejectedTokens)[i] = num_rejected;
  }
  return inputs;
}

Objective MakeObjective(const ObjectiveRequest& request) {
  const auto objective = Objective::Create(request);
  if (objective.ok()) return *objective;
  std::cerr << request.name << ": " << objective.status() << '\n';
  std::exit(1);
}

// Where a default would leave out work, another value.
std::vector<Objective> EvaluatedObjectives() {
  std::vector<Objective> objectives;
  for (const ObjectiveRequest& request : std::vector<ObjectiveRequest>{
           {.name = "sigmoid", .parameters = {{"beta", 0.1}, {"gamma", 0.05}}},
           {.name = "robust", .parameters = {{"beta", 0.1}, {"gamma", 0.05}, {"label_smoothing", 0.1}}},
           {.name = "ipo", .parameters = {{"beta", 0.1}, {"gamma", 0.05}}},
           {.name = "simpo", .parameters = {{"beta", 2.0}, {"simpo_gamma", 0.5}}},
           {.name = "orpo", .parameters = {{"beta", 0.1}}},
           {.name = "exo_pair", .parameters = {{"beta", 0.1}, {"gamma", 0.05}}},
           {.name = "aot", .parameters = {{"beta", 0.1}, {"gamma", 0.05}}},
       }) {
    objectives.push_back(MakeObjective(request));
  }
  return objectives;
}

AnalysisOptions OptionsOf(bool has_sweep) {
  AnalysisOptions options;
  options.objectives = {MakeObjective({.name = "sigmoid", .parameters = {{"beta", 0.1}, {"gamma", 0.05}}})};
  if (!has_sweep) options.sweep_betas = options.sweep_gamma_over_betas = {};
  return options;
}

void Evaluate(const Objective& objective, const Table& inputs, Table& values) {
  PairColumns pairs{.num_pairs = inputs.num_pairs()};
  for (std::size_t i = 0; i < kNumInputs; ++i) pairs.columns[i] = inputs.column(i);
  if (!objective.needs_reference()) {
    pairs.columns[kReferenceChosenLogp] = pairs.columns[kReferenceRejectedLogp] = nullptr;
  }
  ObjectiveColumns columns;
  for (std::size_t i = 0; i < kNumObjectiveColumns; ++i) columns.columns[i] = values.column(i);
  objective.Evaluate(pairs, columns);
}

std::vector<AnalyzedPair> MakePairs(const Table& inputs) {
  std::vector<AnalyzedPair> pairs(inputs.num_pairs());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const std::string number = std::to_string(i);
    pairs[i].id = "pair-" + std::string(9 - std::min<std::size_t>(number.size(), 9), '0') + number;
    pairs[i].inputs.logps = {inputs.column(kPolicyChosenLogp)[i], inputs.column(kPolicyRejectedLogp)[i],
                             inputs.column(kReferenceChosenLogp)[i], inputs.column(kReferenceRejectedLogp)[i]};
    pairs[i].inputs.num_chosen_tokens = inputs.column(kNumChosenTokens)[i];
    pairs[i].inputs.num_rejected_tokens = inputs.column(kNumRejectedTokens)[i];
  }
  return pairs;
}

AnalysisReport Analyze(const std::vector<AnalyzedPair>& pairs, const AnalysisOptions& options) {
  Analyzer analyzer(options);
  for (const AnalyzedPair& pair : pairs) {
    if (const absl::Status status = analyzer.Add(pair); !status.ok()) {
      std::cerr << pair.id << ": " << status << '\n';
      std::exit(1);
    }
  }
  return analyzer.MakeReport();
}

void RegisterBenchmarks(std::size_t num_pairs) {
  const auto count_pairs = [num_pairs](benchmark::State& state) {
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * num_pairs));
  };
  for (const Objective& objective : EvaluatedObjectives()) {
    benchmark::RegisterBenchmark(("evaluate/" + objective.name()).c_str(), [=](benchmark::State& state) {
      const Table inputs = MakeInputs(num_pairs);
      Table values(kNumObjectiveColumns, num_pairs);
      for (auto _ : state) {
        Evaluate(objective, inputs, values);
        benchmark::ClobberMemory();
      }
      count_pairs(state);
    })->Unit(benchmark::kMillisecond);
  }
  for (const bool has_sweep : {false, true}) {
    benchmark::RegisterBenchmark(has_sweep ? "analyze/sweep" : "analyze/plain", [=](benchmark::State& state) {
      const std::vector<AnalyzedPair> pairs = MakePairs(MakeInputs(num_pairs));
      const AnalysisOptions options = OptionsOf(has_sweep);
      for (auto _ : state) benchmark::DoNotOptimize(Analyze(pairs, options));
      count_pairs(state);
    })->Unit(benchmark::kMillisecond);
  }
}

void Dump(const std::string& folder, std::size_t num_pairs) {
  const Table inputs = MakeInputs(num_pairs);
  inputs.Write(folder + "/pairs.f64");
  Table values(kNumObjectiveColumns, num_pairs);
  for (const Objective& objective : EvaluatedObjectives()) {
    Evaluate(objective, inputs, values);
    values.Write(folder + "/evaluate-" + objective.name() + ".f64");
  }
  std::ofstream(folder + "/report.json") << ReportToJson(Analyze(MakePairs(inputs), OptionsOf(true)));
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);  // takes its own flags out
  std::size_t num_pairs = 1000000;
  std::string dump_folder;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (flag == "--num_pairs" && i + 1 < argc) {
      num_pairs = std::strtoull(argv[i + 1], nullptr, 10);
    } else if (flag == "--dump" && i + 1 < argc) {
      dump_folder = argv[i + 1];
    } else {
      std::cerr << "usage: diagnostics_bench [--num_pairs N] [--dump FOLDER] [--benchmark_...]\n";
      return 1;
    }
  }
  if (!dump_folder.empty()) {
    Dump(dump_folder, num_pairs);
    return 0;
  }
  RegisterBenchmarks(num_pairs);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) { return prefscore::Main(argc, argv); }
