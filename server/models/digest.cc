// SPDX-License-Identifier: Apache-2.0
#include "server/models/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "server/util/sha256.h"

namespace prefscore {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{16} << 20;  // hashed by one thread; part of the digest's definition
constexpr std::size_t kBlockBytes = std::size_t{32} << 10;  // small enough that the scan finds it in the cache

class Hasher {
 public:
  Hasher() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void Add(std::span<const std::byte> bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  void Add(std::string_view text) { Add(std::as_bytes(std::span(text))); }
  Sha256Digest Finish() {
    Sha256Digest hash;
    EVP_DigestFinal_ex(context_.get(), hash.data(), nullptr);
    return hash;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

std::string Hex(const Sha256Digest& hash) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()));
}

// A NaN or an infinity is a number whose exponent bits are all ones.
template <typename Word>
bool NoneWithExponent(std::span<const std::byte> bytes, Word exponent) {
  constexpr std::size_t kStride = 64;  // words in one inner loop, which the compiler vectorises
  std::array<Word, kStride> words;
  Word bad = 0;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(words)) {
    const std::size_t count = std::min(sizeof(words), bytes.size() - at);
    if (count < sizeof(words)) words.fill(0);
    std::memcpy(words.data(), bytes.data() + at, count);
    for (std::size_t i = 0; i < kStride; ++i) bad |= static_cast<Word>((words[i] & exponent) == exponent);
  }
  return bad == 0;
}

bool AllFinite(std::span<const std::byte> bytes, std::string_view dtype) {
  if (dtype == "F32") return NoneWithExponent<std::uint32_t>(bytes, 0x7f800000u);
  if (dtype == "BF16") return NoneWithExponent<std::uint16_t>(bytes, 0x7f80u);
  return NoneWithExponent<std::uint16_t>(bytes, 0x7c00u);
}

struct Chunk {
  const SafetensorsEntry* tensor;
  std::span<const std::byte> bytes;
  Sha256Digest hash;
  bool finite = true;
};

void Process(Chunk& chunk) {
  Hasher hasher;
  for (std::size_t at = 0; at < chunk.bytes.size(); at += kBlockBytes) {
    const auto block = chunk.bytes.subspan(at, std::min(kBlockBytes, chunk.bytes.size() - at));
    hasher.Add(block);
    chunk.finite = chunk.finite && AllFinite(block, chunk.tensor->dtype);
  }
  chunk.hash = hasher.Finish();
}

void ProcessAll(std::vector<Chunk>& chunks, int num_threads) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < chunks.size(); i = next++) Process(chunks[i]);
  };
  std::vector<std::jthread> helpers;
  for (int i = 1; i < num_threads; ++i) helpers.emplace_back(work);
  work();
}

std::string Bits(double value) { return absl::StrFormat("%a", value); }

std::string Bits(const std::vector<double>& values) {
  return absl::StrJoin(values, " ", [](std::string* out, double value) { absl::StrAppend(out, Bits(value)); });
}

std::string Bits(const std::optional<double>& value) { return value ? Bits(*value) : "none"; }

}  // namespace

std::string CanonicalConfig(const DecoderConfig& config) {
  std::string text;
  const auto line = [&](const auto&... parts) { absl::StrAppend(&text, parts..., "\n"); };
  line("architecture ", config.architecture);
  line("hidden_size ", config.hidden_size, " intermediate_size ", config.intermediate_size);
  line("num_heads ", config.num_heads, " num_kv_heads ", config.num_kv_heads, " head_dim ", config.head_dim);
  line("vocab_size ", config.vocab_size, " max_context_tokens ", config.max_context_tokens);
  line("norm ", static_cast<int>(config.norm), " placement ", static_cast<int>(config.norm_placement), " epsilon ",
       Bits(config.norm_epsilon), " query_key_norm ", static_cast<int>(config.query_key_norm));
  line("activation ", static_cast<int>(config.activation), " gated_mlp ", config.gated_mlp);
  line("bias query_key_value ", config.query_key_value_bias, " attention_output ", config.attention_output_bias,
       " mlp ", config.mlp_bias);
  line("attention_scale ", Bits(config.attention_scale), " attention_softcap ", Bits(config.attention_softcap),
       " logit_softcap ", Bits(config.logit_softcap), " embedding_scale ", Bits(config.embedding_scale));
  line("learned_positions ", config.learned_positions, " tied_head ", config.tied_head);
  for (const RopeConfig& rope : config.ropes) {
    line("rope ", static_cast<int>(rope.kind), " theta ", Bits(rope.theta), " rotary_dim ", rope.rotary_dim, " factor ",
         Bits(rope.factor), " original_max_positions ", rope.original_max_positions, " low_freq_factor ",
         Bits(rope.low_freq_factor), " high_freq_factor ", Bits(rope.high_freq_factor), " beta_fast ",
         Bits(rope.beta_fast), " beta_slow ", Bits(rope.beta_slow), " truncate ", rope.truncate, " mscale ",
         Bits(rope.mscale), " mscale_all_dim ", Bits(rope.mscale_all_dim), " attention_factor ",
         Bits(rope.attention_factor), " short_factor ", Bits(rope.short_factor), " long_factor ",
         Bits(rope.long_factor));
  }
  for (const LayerConfig& layer : config.layers) {
    line("layer sliding_window ", layer.sliding_window, " rope ", layer.rope);
  }
  return text;
}

absl::StatusOr<std::string> ModelDigest(const DecoderConfig& config, std::span<const SafetensorsEntry* const> tensors,
                                        int num_threads) {
  std::vector<Chunk> chunks;
  std::map<std::string_view, const SafetensorsEntry*> by_name;
  for (const SafetensorsEntry* tensor : tensors) {
    by_name.emplace(tensor->name, tensor);
  }
  for (const auto& [name, tensor] : by_name) {
    for (std::size_t at = 0; at < tensor->bytes.size(); at += kChunkBytes) {
      chunks.push_back({tensor, tensor->bytes.subspan(at, std::min(kChunkBytes, tensor->bytes.size() - at)), {}});
    }
  }
  ProcessAll(chunks, num_threads);
  for (const Chunk& chunk : chunks) {
    if (!chunk.finite) {
      return absl::InvalidArgumentError(absl::StrCat("tensor '", chunk.tensor->name, "' holds a NaN or an infinity"));
    }
  }

  Hasher digest;
  digest.Add("prefscore model 1\n");
  digest.Add(CanonicalConfig(config));
  std::size_t next_chunk = 0;
  for (const auto& [name, tensor] : by_name) {
    // Lengths before texts: no two lists of tensors read the same.
    digest.Add(absl::StrCat("tensor ", tensor->name.size(), " ", tensor->name, " ", tensor->dtype, " ",
                            absl::StrJoin(tensor->shape, ","), "\n"));
    for (; next_chunk < chunks.size() && chunks[next_chunk].tensor == tensor; ++next_chunk) {
      digest.Add(std::as_bytes(std::span(chunks[next_chunk].hash)));
    }
  }
  return Hex(digest.Finish());
}

}  // namespace prefscore
