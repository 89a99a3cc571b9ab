// SPDX-License-Identifier: Apache-2.0
// Checks and times the device decoder at the sizes of real models. Run by scripts/gpu-check.
//
//   gpu_check --json FILE [--device cuda:0|host] [--quick] [--dry-run]
//
// --quick leaves out the 8-billion model; --dry-run takes a tiny one. A fault in one model is that model's "error": the
// others are measured none the less. Exits with 1 where a check failed or could not be made.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "server/models/device/cuda/cuda_device.h"
#include "server/models/device/device_decoder.h"
#include "server/models/device/host_device.h"
#include "server/models/packed_batch.h"
#include "server/util/device_name.h"
#include "tests/gpu/model_shapes.h"

namespace prefscore {
namespace {

using nlohmann::json;
using testing::ModelShape;

// Of a pair's prompt and completions, tokens.
struct PairLengths {
  std::int64_t prompt = 512;
  std::int64_t completion = 256;
};

struct Plan {
  std::vector<ModelShape> shapes;
  PairLengths lengths;
  std::vector<int> batch_sizes;  // pairs
  std::int64_t matmul_rows = 8192;
  double seconds = 2.0;  // of each timing
};

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds of one call, as the median of calls over about `budget` seconds, after two that are not counted.
double MedianSeconds(double budget, const std::function<void()>& call) {
  call();
  call();
  std::vector<double> seconds;
  for (const double end = Now() + budget; seconds.size() < 3 || (Now() < end && seconds.size() < 1000);) {
    const double start = Now();
    call();
    seconds.push_back(Now() - start);
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

std::vector<PromptGroup> MakePairs(const ModelShape& shape, const PairLengths& lengths, int count) {
  std::mt19937 random(3);
  const auto tokens = [&](std::int64_t length) {
    TokenIds ids(length);
    for (TokenId& id : ids) id = random() % shape.config.vocab_size;
    return ids;
  };
  std::vector<PromptGroup> pairs(count);
  for (PromptGroup& pair : pairs) {
    pair = {tokens(lengths.prompt), {tokens(lengths.completion), tokens(lengths.completion)}};
  }
  return pairs;
}

std::vector<const PromptGroup*> Pointers(const std::vector<PromptGroup>& pairs) {
  std::vector<const PromptGroup*> pointers;
  for (const PromptGroup& pair : pairs) pointers.push_back(&pair);
  return pointers;
}

std::vector<GroupTokenLogProbs> Score(const CausalLm& model, const std::vector<const PromptGroup*>& groups) {
  auto results = model.Forward(groups);
  if (!results.ok()) throw std::runtime_error(std::string(results.status().ToString()));
  return *std::move(results);
}

// Multiply-adds, times two, of all matrix products of a pass over the groups; attention's are not counted.
double MatMulOperations(const DecoderConfig& config, const std::vector<const PromptGroup*>& groups) {
  const PackedBatch batch = PackGroups(groups, config.ropes);
  const double hidden = static_cast<double>(config.hidden_size);
  const double query_width = static_cast<double>(config.num_heads * config.head_dim);
  const double key_value_width = 2.0 * static_cast<double>(config.num_kv_heads * config.head_dim);
  const double other_width = 2.0 * query_width + 3.0 * static_cast<double>(config.intermediate_size);
  const double layers = static_cast<double>(config.layers.size());
  const double rows = static_cast<double>(batch.num_rows());
  const double head_rows = static_cast<double>(batch.head_rows.size());
  return 2.0 * hidden *
         (rows * (key_value_width * layers + other_width * (layers - 1.0)) +
          head_rows * (other_width + static_cast<double>(config.vocab_size)));
}

// A pair's bits alone, in a batch, swapped, with one completion only: all the same.
bool SameBits(const CausalLm& model, const std::vector<PromptGroup>& pairs) {
  const auto batch = Score(model, Pointers(pairs));
  for (const std::size_t i : {std::size_t{0}, pairs.size() - 1}) {
    const PromptGroup& pair = pairs[i];
    const PromptGroup swapped{pair.prompt, {pair.completions[1], pair.completions[0]}};
    const PromptGroup first{pair.prompt, {pair.completions[0]}}, second{pair.prompt, {pair.completions[1]}};
    const auto others = Score(model, {&pair, &swapped, &first, &second});
    const auto alone = Score(model, {&first});
    if (others[0] != batch[i] || others[1][0] != batch[i][1] || others[1][1] != batch[i][0] ||
        others[2][0] != batch[i][0] || others[3][0] != batch[i][1] || alone[0][0] != batch[i][0]) {
      return false;
    }
  }
  return true;
}

// Rate of one product, of random rows and weights.
json TimeMatMul(Device& device, std::int64_t rows, std::int64_t num_in, std::int64_t num_out,
                kernels::ElementType out_type, double seconds) {
  const std::lock_guard queue(device.queue_mutex());
  std::mt19937 random(5);
  std::vector<std::uint16_t> values(1 << 20);
  for (std::uint16_t& value : values) {  // of either sign, between 2^-7 and 2
    value = static_cast<std::uint16_t>(0x3C00 + random() % 0x0400 + (random() % 2 << 15));
  }
  const auto fill = [&](std::int64_t count) {
    std::vector<std::uint16_t> filled(count);
    for (std::int64_t i = 0; i < count; ++i) filled[i] = values[(i + i / 1048573) % values.size()];
    return Upload(device, filled.data(), filled.size() * sizeof(filled[0]));
  };
  const DeviceBuffer x = fill(rows * num_in), weight = fill(num_in * num_out);
  const DeviceBuffer out(device, DeviceBuffer::Kind::kDevice, rows * num_out * kernels::SizeOf(out_type));
  const MatMulArgs args{.type = kernels::ElementType::kBfloat16,
                        .x = x.data(),
                        .weight = weight.data(),
                        .num_rows = rows,
                        .num_in = num_in,
                        .num_out = num_out,
                        .out_type = out_type,
                        .out = out.data()};
  const auto event = device.MakeEvent();
  constexpr int kRuns = 10;
  const double time = MedianSeconds(seconds, [&] {
    for (int i = 0; i < kRuns; ++i) device.MatMul(args);
    event->Record();
    event->Wait();
  });
  return {{"rows", rows},
          {"num_in", num_in},
          {"num_out", num_out},
          {"out", out_type == kernels::ElementType::kFloat32 ? "float32" : "bfloat16"},
          {"tflops", 2e-12 * kRuns * static_cast<double>(rows * num_in) * static_cast<double>(num_out) / time},
          {"algorithm", device.DescribeMatMul(args)}};
}

json TimeMatMuls(Device& device, const DecoderConfig& config, const Plan& plan) {
  using kernels::ElementType;
  const std::int64_t query_width = config.num_heads * config.head_dim;
  const std::int64_t projection = query_width + 2 * config.num_kv_heads * config.head_dim;
  const std::int64_t tile = std::min<std::int64_t>(kHeadTileColumns, config.vocab_size / 128 * 128);
  json products = json::array();
  const auto add = [&](const char* name, std::int64_t num_in, std::int64_t num_out, ElementType out_type) {
    products.push_back(TimeMatMul(device, plan.matmul_rows, num_in, num_out, out_type, plan.seconds / 10));
    products.back()["name"] = name;
  };
  add("query_key_value", config.hidden_size, projection, ElementType::kBfloat16);
  add("attention_output", query_width, config.hidden_size, ElementType::kFloat32);
  add("gate_up", config.hidden_size, 2 * config.intermediate_size, ElementType::kBfloat16);
  add("down", config.intermediate_size, config.hidden_size, ElementType::kFloat32);
  add("head", config.hidden_size, tile, ElementType::kFloat32);
  return products;
}

// Into `result`, as far as it comes.
void CheckModel(const std::shared_ptr<Device>& device, const ModelShape& shape, const Plan& plan,
                double ceiling_tflops, json& result) {
  const testing::SharedWeights weights(shape);
  const double start = Now();
  auto made = MakeDeviceDecoder(device, shape.config, weights.views(), "bfloat16", 0, {});
  if (!made.ok()) throw std::runtime_error(std::string(made.status().ToString()));
  const std::shared_ptr<const DeviceLm> model = *std::move(made);
  const double load_seconds = Now() - start;
  result["load_seconds"] = load_seconds;  // with the check of its products
  result["load_gb_per_second"] = 1e-9 * static_cast<double>(weights.num_bytes()) / load_seconds;
  result["numerics_mode"] = model->info().numerics_mode;
  const absl::Status rows = model->CheckSameBits();
  if (!rows.ok() && rows.code() != absl::StatusCode::kFailedPrecondition) {
    throw std::runtime_error("the check of the products: " + std::string(rows.message()));
  }
  result["rows_are_independent"] = rows.ok() ? "yes" : std::string(rows.message());
  result["check_seconds"] = Now() - start - load_seconds;
  result["same_bits"] = SameBits(*model, MakePairs(shape, plan.lengths, plan.batch_sizes.back()));

  for (const int batch_size : plan.batch_sizes) {
    const std::vector<PromptGroup> pairs = MakePairs(shape, plan.lengths, batch_size);
    const auto pointers = Pointers(pairs);
    const PackedBatch packed = PackGroups(pointers, shape.config.ropes);
    const double seconds = MedianSeconds(plan.seconds, [&] { Score(*model, pointers); });
    const double tflops = 1e-12 * MatMulOperations(shape.config, pointers) / seconds;
    result["batches"].push_back({{"pairs", batch_size},
                                 {"tokens", packed.num_rows()},
                                 {"milliseconds", 1e3 * seconds},
                                 {"pairs_per_second_cached_reference", batch_size / seconds},
                                 {"pairs_per_second", batch_size / seconds / 2},
                                 {"body_tokens_per_second", static_cast<double>(packed.num_rows()) / seconds},
                                 {"tflops", tflops},
                                 {"share_of_matmul_rate", tflops / ceiling_tflops}});
  }
  // Two callers, so that one batch is packed while the other runs. The server has one: this is what a second would
  // gain.
  const std::vector<PromptGroup> pairs = MakePairs(shape, plan.lengths, plan.batch_sizes.back());
  const auto pointers = Pointers(pairs);
  const double seconds = MedianSeconds(plan.seconds, [&] {
    std::vector<std::future<void>> callers;
    for (int caller = 0; caller < 2; ++caller) {
      callers.push_back(std::async(std::launch::async, [&] {
        for (int i = 0; i < 2; ++i) Score(*model, pointers);
      }));
    }
    for (std::future<void>& caller : callers) caller.get();  // throws what it threw: a fault has no time
  });
  result["pairs_per_second_two_callers"] = 4.0 * plan.batch_sizes.back() / seconds / 2;
}

bool Passed(const json& model) {
  return !model.contains("error") && model["rows_are_independent"] == "yes" && model["same_bits"] == true;
}

// In one piece: who stops this program finds the last report whole.
void WriteReport(const json& report, const std::string& path) {
  if (path.empty()) return;
  std::ofstream(path + ".part") << report.dump(1) << "\n";
  std::filesystem::rename(path + ".part", path);
}

Plan MakePlan(bool quick, bool dry_run) {
  if (dry_run) {
    return {.shapes = {testing::TinyQwen()},
            .lengths = {20, 10},
            .batch_sizes = {1, 3},
            .matmul_rows = 64,
            .seconds = 0.01};
  }
  Plan plan{.shapes = {testing::Qwen25Half(), testing::Llama32One()}, .lengths = {}, .batch_sizes = {1, 4, 8, 16}};
  if (quick) {
    plan.seconds = 0.5;
  } else {
    plan.shapes.push_back(testing::Llama31Eight());
  }
  return plan;
}

int Main(int argc, char** argv) {
  std::string device_name = "cuda:0", json_path;
  bool quick = false, dry_run = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--quick") {
      quick = true;
    } else if (argument == "--dry-run") {
      dry_run = true;
    } else if (argument == "--device" && i + 1 < argc) {
      device_name = argv[++i];
    } else if (argument == "--json" && i + 1 < argc) {
      json_path = argv[++i];
    } else {
      std::fprintf(stderr, "gpu_check: unexpected argument %s\n", argument.c_str());
      return 2;
    }
  }
  const std::optional<int> index = CudaIndexOf(device_name);
  const auto device = index ? OpenCudaDevice(*index) : absl::StatusOr<std::shared_ptr<Device>>(MakeHostDevice());
  if (!device.ok()) {
    std::fprintf(stderr, "gpu_check: %s\n", std::string(device.status().message()).c_str());
    return 1;
  }
  (*device)->Enter();
  const Plan plan = MakePlan(quick, dry_run);
  const std::int64_t square = dry_run ? 64 : 8192;
  const json ceiling = TimeMatMul(**device, square, square, square, kernels::ElementType::kBfloat16, plan.seconds);
  json report{{"device", (*device)->numerics_name()}, {"large_product", ceiling}};
  WriteReport(report, json_path);
  bool passed = true;
  for (const ModelShape& shape : plan.shapes) {
    std::fprintf(stderr, "gpu_check: %s\n", shape.name.c_str());
    json model{{"name", shape.name}, {"prompt", plan.lengths.prompt}, {"completion", plan.lengths.completion}};
    const auto attempt = [&](const std::function<void()>& part) {
      try {
        part();
      } catch (const std::exception& error) {
        const std::string before = model.contains("error") ? model["error"].get<std::string>() + "; " : "";
        model["error"] = before + error.what();
      }
    };
    attempt([&] { model["products"] = TimeMatMuls(**device, shape.config, plan); });
    attempt([&] { CheckModel(*device, shape, plan, ceiling.at("tflops"), model); });
    passed = passed && Passed(model);
    std::fprintf(stderr, "%s\n", model.dump(1).c_str());
    report["models"].push_back(std::move(model));
    WriteReport(report, json_path);
  }
  return passed ? 0 : 1;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) {
  try {
    return prefscore::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "gpu_check: %s\n", error.what());
    return 1;
  }
}
