// SPDX-License-Identifier: Apache-2.0
// The files of a model folder that are read before its weights: config.json, model.safetensors.index.json and one
// shard. Parts of the input, in this order, each up to a byte 0xff.
#include <string>

#include "server/models/checkpoint.h"
#include "server/models/hf_config.h"
#include "server/models/strict_json.h"
#include "server/util/json_shape.h"
#include "tests/fuzz/fuzz_input.h"

namespace prefscore::fuzz {
namespace {

void ReadConfig(std::string_view text) {
  const auto json = ParseJsonObject(text, "config.json");
  CheckIsRefusal(json.status());
  if (!json.ok()) return;
  FUZZ_CHECK(MeasureJson(text).depth <= kMaxJsonDepth, "JSON that nests too deep is read");
  const auto config = ParseHfConfig(*json, "config.json");
  CheckIsRefusal(config.status());
  if (!config.ok()) return;
  FUZZ_CHECK(!config->layers.empty() && config->hidden_size > 0 && config->vocab_size > 0, "a model without size");
}

void ReadShards(const InputFolder& folder, std::string_view index, std::string_view shard) {
  folder.Write("model.safetensors.index.json", index);
  folder.Write("a.safetensors", shard);
  const auto checkpoint = Checkpoint::Open(folder.path());
  CheckIsRefusal(checkpoint.status());
  if (!checkpoint.ok()) return;
  FUZZ_CHECK(!(*checkpoint)->tensors().empty(), "a checkpoint without tensors");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const InputFolder folder;
  std::string_view rest = Text(data, size);
  const std::string_view config = NextPart(rest);
  const std::string_view index = NextPart(rest);
  ReadConfig(config);
  if (!index.empty()) ReadShards(folder, index, rest);
  return 0;
}

}  // namespace prefscore::fuzz
