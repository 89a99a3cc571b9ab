// SPDX-License-Identifier: Apache-2.0
#include "client/cli/text_width.h"

#include <algorithm>

namespace prefscore::cli {
namespace {

bool StartsCharacter(char byte) { return (byte & 0xC0) != 0x80; }  // in UTF-8

}  // namespace

std::size_t ColumnWidth(const std::string& text) { return std::count_if(text.begin(), text.end(), StartsCharacter); }

std::string CutText(const std::string& text, std::size_t width) {
  const bool is_cut = ColumnWidth(text) > width;
  std::string cut;
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (StartsCharacter(text[i]) && ++count > (is_cut ? width - 3 : width)) break;
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (is_c1) ++i;  // a control character of two bytes
    cut += byte < 0x20 || byte == 0x7F || is_c1 ? ' ' : text[i];
  }
  return is_cut ? cut + "..." : cut;
}

std::string PadText(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, ColumnWidth(text)), ' ');
}

}  // namespace prefscore::cli
