// SPDX-License-Identifier: Apache-2.0
// How fast each kernel moves its bytes, at the sizes of real models: all are meant to be limited by memory, so the
// share of a plain copy's rate is what to look at. Attention is given in operations instead.
//   kernel_speed [num_rows]   one table on standard output; random data, 20 runs each; 1024 to 65536 rows
#include <cuda_runtime.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <vector>

#include "server/kernels/kernels.h"

namespace prefscore {
namespace {

using kernels::ElementType;

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "kernel_speed: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

// Device memory, kept to the end.
template <typename Value>
Value* Upload(const std::vector<Value>& values) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, values.size() * sizeof(Value)), "cudaMalloc");
  Check(cudaMemcpy(memory, values.data(), values.size() * sizeof(Value), cudaMemcpyHostToDevice), "cudaMemcpy");
  return static_cast<Value*>(memory);
}

template <typename Value>
Value* Scratch(std::int64_t count) {
  void* memory = nullptr;
  Check(cudaMalloc(&memory, count * sizeof(Value)), "cudaMalloc");
  Check(cudaMemset(memory, 0, count * sizeof(Value)), "cudaMemset");
  return static_cast<Value*>(memory);
}

std::vector<float> RandomFloats(std::int64_t count) {
  std::mt19937 random(1);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random()) * 0x1p-31f - 1.0f;
  return values;
}

// Bfloat16 of random numbers with magnitudes in [0.125, 0.5).
std::uint16_t* RandomElements(std::int64_t count) {
  std::mt19937 random(2);
  std::vector<std::uint16_t> values(count);
  for (std::uint16_t& value : values) {
    const auto bits = static_cast<std::uint32_t>(random());
    value = static_cast<std::uint16_t>((bits & 0x8000u) | 0x3E00u | (bits & 0xFFu));
  }
  return Upload(values);
}

std::vector<std::int32_t> Range(std::int64_t count, std::int64_t below) {
  std::vector<std::int32_t> values(count);
  for (std::int64_t i = 0; i < count; ++i) values[i] = static_cast<std::int32_t>(i * 7919 % below);
  return values;
}

double SecondsOf(const std::function<void()>& launch) {
  constexpr int kRuns = 20;
  launch();
  Check(cudaGetLastError(), "launch");
  Check(cudaDeviceSynchronize(), "run");
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRuns; ++i) launch();
  Check(cudaGetLastError(), "launch");  // what was not launched took no time
  Check(cudaDeviceSynchronize(), "run");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kRuns;
}

struct Shape {
  const char* name;
  std::int64_t width, heads, kv_heads, head_dim, intermediate;
};

void Measure(const Shape& shape, std::int64_t rows, double copy_rate) {
  const auto report = [&](const char* kernel, double bytes, const std::function<void()>& launch) {
    const double seconds = SecondsOf(launch);
    std::printf("%-14s %-28s %9.1f us %8.0f GB/s %5.0f %% of copy\n", shape.name, kernel, seconds * 1e6,
                bytes / seconds * 1e-9, 100.0 * bytes / seconds / copy_rate);
  };
  const auto count = static_cast<double>(rows);

  kernels::ResidualNormArgs norm;
  norm.type = ElementType::kBfloat16;
  norm.hidden = Upload(RandomFloats(rows * shape.width));
  norm.branch = Upload(RandomFloats(rows * shape.width));
  norm.next_norm.weight = Upload(RandomFloats(shape.width));
  norm.next_norm.epsilon = 1e-6f;
  norm.num_rows = rows;
  norm.width = shape.width;
  norm.normalized = Scratch<std::uint16_t>(rows * shape.width);
  report("add + RMSNorm", count * static_cast<double>(shape.width) * 14, [&] { cuda::ResidualNorm(norm, nullptr); });

  const std::int64_t projection_width = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  kernels::PrepareHeadsArgs heads;
  heads.type = ElementType::kBfloat16;
  heads.projection = RandomElements(rows * projection_width);
  heads.stride = projection_width;
  heads.rope_rows = Upload(Range(rows, 1024));
  heads.num_rows = rows;
  heads.num_heads = shape.heads;
  heads.head_dim = shape.head_dim;
  heads.half = shape.head_dim / 2;
  heads.cosines = Upload(RandomFloats(1024 * heads.half));
  heads.sines = Upload(RandomFloats(1024 * heads.half));
  heads.out = Scratch<std::uint16_t>(rows * shape.heads * shape.head_dim);
  const double head_bytes = count * static_cast<double>(shape.heads * shape.head_dim) * 4;
  report("rotate queries", head_bytes, [&] { cuda::PrepareHeads(heads, nullptr); });
  heads.norm.weight = Upload(RandomFloats(shape.head_dim));
  report("normalise + rotate queries", head_bytes, [&] { cuda::PrepareHeads(heads, nullptr); });
  heads.norm.weight = nullptr;
  heads.num_heads = shape.kv_heads;
  report("rotate keys", count * static_cast<double>(shape.kv_heads * shape.head_dim) * 4,
         [&] { cuda::PrepareHeads(heads, nullptr); });

  kernels::ActivateArgs activate;
  activate.type = ElementType::kBfloat16;
  activate.gate = RandomElements(rows * 2 * shape.intermediate);
  activate.up = static_cast<const std::uint16_t*>(activate.gate) + shape.intermediate;
  activate.stride = 2 * shape.intermediate;
  activate.num_rows = rows;
  activate.width = shape.intermediate;
  activate.out = Scratch<std::uint16_t>(rows * shape.intermediate);
  report("silu(gate) * up", count * static_cast<double>(shape.intermediate) * 6,
         [&] { cuda::Activate(activate, nullptr); });

  constexpr std::int64_t kColumns = 8192;
  kernels::HeadTileArgs tile;
  tile.logits = Upload(RandomFloats(rows * kColumns));
  tile.stride = kColumns;
  tile.num_rows = rows;
  tile.num_columns = kColumns;
  tile.sums = Scratch<kernels::PartialSum>(rows);
  report("log-sum-exp of 8192 logits", count * static_cast<double>(kColumns) * 4,
         [&] { cuda::HeadTile(tile, nullptr); });

  constexpr std::int64_t kLength = 1024;  // of each segment
  const std::int64_t segments = rows / kLength;
  std::vector<std::int32_t> first_rows(segments + 1);
  for (std::int64_t i = 0; i <= segments; ++i) first_rows[i] = static_cast<std::int32_t>(i * kLength);
  kernels::SegmentAttentionArgs attention;
  attention.type = ElementType::kBfloat16;
  attention.queries = RandomElements(rows * shape.heads * shape.head_dim);
  attention.keys = RandomElements(rows * shape.kv_heads * shape.head_dim);
  attention.values = attention.keys;
  attention.first_queries = attention.first_keys = Upload(first_rows);
  attention.num_segments = segments;
  attention.num_queries = attention.num_keys = segments * kLength;
  attention.max_queries = attention.max_keys = kLength;
  attention.num_heads = shape.heads;
  attention.num_kv_heads = shape.kv_heads;
  attention.head_dim = shape.head_dim;
  attention.scale = 0.1f;
  attention.out = Scratch<std::uint16_t>(rows * shape.heads * shape.head_dim);
  const double seconds = SecondsOf([&] { cuda::SegmentAttention(attention, nullptr); });
  const double operations =
      4.0 * static_cast<double>(segments * shape.heads * shape.head_dim) * kLength * (kLength + 1) / 2;
  std::printf("%-14s %-28s %9.1f us %8.1f TFLOP/s\n", shape.name, "attention, 1024 tokens", seconds * 1e6,
              operations / seconds * 1e-12);
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) {
  const std::int64_t rows = argc > 1 ? std::atoll(argv[1]) : 8192;
  if (argc > 2 || rows < 1024 || rows > 65536) {
    std::fprintf(stderr, "kernel_speed: num_rows is '%s'; expected one number from 1024 to 65536\n",
                 argc > 1 ? argv[argc - 1] : "");
    return 2;
  }
  constexpr std::int64_t kCopyBytes = std::int64_t{1} << 29;
  void* from = prefscore::Scratch<std::byte>(kCopyBytes);
  void* to = prefscore::Scratch<std::byte>(kCopyBytes);
  const double copy_rate = 2.0 * kCopyBytes / prefscore::SecondsOf([&] {
    prefscore::Check(cudaMemcpyAsync(to, from, kCopyBytes, cudaMemcpyDeviceToDevice, nullptr), "copy");
  });
  std::printf("copy %.0f GB/s, read and written; %ld rows\n", copy_rate * 1e-9, static_cast<long>(rows));
  prefscore::Measure({"Qwen2.5-0.5B", 896, 14, 2, 64, 4864}, rows, copy_rate);
  prefscore::Measure({"Llama-3.1-8B", 4096, 32, 8, 128, 14336}, rows, copy_rate);
}
