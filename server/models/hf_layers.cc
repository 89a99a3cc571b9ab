// SPDX-License-Identifier: Apache-2.0
#include "server/models/hf_layers.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

// Whether each layer slides, from layer_types; `fallback(layer)` where absent.
template <typename Fallback>
std::vector<bool> ReadSlidingLayers(ConfigFields& config, std::size_t num_layers, Fallback fallback) {
  std::vector<bool> slides(num_layers);
  const std::vector<std::string> types = config.Texts("layer_types");
  if (types.empty()) {
    for (std::size_t layer = 0; layer < num_layers; ++layer) slides[layer] = fallback(layer);
    return slides;
  }
  if (types.size() != num_layers) {
    config.Fault(config.Invalid("layer_types", absl::StrCat(num_layers, " entries, one a layer")));
    return slides;
  }
  for (std::size_t layer = 0; layer < num_layers; ++layer) {
    slides[layer] = types[layer] == "sliding_attention";
    if (!slides[layer] && types[layer] != "full_attention") {
      config.Fault(config.Unsupported("layer_types", "full_attention, sliding_attention"));
    }
  }
  return slides;
}

// A window for the layers that slide; without a window none may.
void SetWindows(ConfigFields& config, const std::vector<bool>& slides, std::int64_t window, DecoderConfig& decoder) {
  for (std::size_t layer = 0; layer < slides.size(); ++layer) {
    if (!slides[layer]) continue;
    if (window == 0) {
      config.Fault(config.Invalid("sliding_window", "a window, since layer_types has sliding_attention"));
      return;
    }
    decoder.layers[layer].sliding_window = window;
  }
}

// The window of a model all of whose layers slide or none does. 0: none.
void ReadUniformWindow(ConfigFields& config, std::int64_t fallback, DecoderConfig& decoder) {
  const bool none = config.IsNull("sliding_window") || (fallback == 0 && !config.Has("sliding_window"));
  config.Ignore("sliding_window");
  const std::int64_t window = none ? 0 : config.Count("sliding_window", fallback);
  const auto slides = ReadSlidingLayers(config, decoder.layers.size(), [&](std::size_t) { return window != 0; });
  for (const bool slide : slides) {
    // transformers does not read layer_types here, so they must not say anything else than sliding_window does.
    if (slide != (window != 0)) config.Fault(config.Unsupported("layer_types", "all as sliding_window says"));
  }
  SetWindows(config, slides, window, decoder);
}

// use_sliding_window switches the window on; `fallback(layer)` says which layers slide where layer_types does not.
template <typename Fallback>
void ReadSwitchedWindow(ConfigFields& config, std::int64_t default_window, DecoderConfig& decoder, Fallback fallback) {
  const bool enabled = config.Flag("use_sliding_window", false);
  const bool none =
      !enabled || config.IsNull("sliding_window") || (default_window == 0 && !config.Has("sliding_window"));
  config.Ignore("sliding_window");
  const std::int64_t window = none ? 0 : config.Count("sliding_window", default_window);
  const auto slides = ReadSlidingLayers(config, decoder.layers.size(),
                                        [&](std::size_t layer) { return window != 0 && fallback(layer); });
  SetWindows(config, slides, window, decoder);
}

void ReadGemmaWindows(ConfigFields& config, std::int64_t full_every, DecoderConfig& decoder) {
  const std::int64_t window = config.IsNull("sliding_window") ? 0 : config.Count("sliding_window", 4096);
  config.Ignore("sliding_window");
  if (config.Count("sliding_window_size", window == 0 ? 1 : window) != window) {
    config.Fault(config.Invalid("sliding_window_size", "the value of sliding_window"));
  }
  const auto slides = ReadSlidingLayers(config, decoder.layers.size(), [&](std::size_t layer) {
    return (static_cast<std::int64_t>(layer) + 1) % full_every != 0;
  });
  SetWindows(config, slides, window, decoder);
}

void ReadNoRopeLayers(ConfigFields& config, DecoderConfig& decoder) {
  const std::int64_t interval = config.Count("no_rope_layer_interval", 4);
  const std::vector<std::int64_t> rotates = config.Integers("no_rope_layers");  // 1: rotates, despite the name
  if (!rotates.empty() && rotates.size() < decoder.layers.size()) {
    config.Fault(config.Invalid("no_rope_layers", absl::StrCat("at least ", decoder.layers.size(), " entries")));
    return;
  }
  for (std::size_t layer = 0; layer < decoder.layers.size(); ++layer) {
    const bool rotate = rotates.empty() ? (static_cast<std::int64_t>(layer) + 1) % interval != 0 : rotates[layer] != 0;
    if (!rotate) decoder.layers[layer].rope = -1;
  }
}

}  // namespace

void ReadLayerKinds(ConfigFields& config, DecoderConfig& decoder) {
  const std::string& architecture = decoder.architecture;
  if (architecture == "mistral") {
    ReadUniformWindow(config, 4096, decoder);
  } else if (architecture == "phi3") {
    ReadUniformWindow(config, 0, decoder);
  } else if (architecture == "qwen2" || architecture == "qwen3") {
    const std::size_t first_sliding_layer = config.Integer("max_window_layers", 28);
    ReadSwitchedWindow(config, 4096, decoder, [&](std::size_t layer) { return layer >= first_sliding_layer; });
  } else if (architecture == "smollm3") {
    ReadNoRopeLayers(config, decoder);
    config.Ignore("max_window_layers");  // left over from Qwen's field; transformers does not read it here
    ReadSwitchedWindow(config, 0, decoder, [&](std::size_t layer) { return decoder.layers[layer].rope < 0; });
  } else if (architecture == "gemma2") {
    ReadGemmaWindows(config, 2, decoder);
  } else if (architecture == "gemma3_text") {
    ReadGemmaWindows(config, config.Count("sliding_window_pattern", 6), decoder);
  }
}

}  // namespace prefscore
