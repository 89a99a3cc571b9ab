// SPDX-License-Identifier: Apache-2.0
// Text in columns of a terminal: UTF-8, one column per character.
#pragma once

#include <cstddef>
#include <string>

namespace prefscore::cli {

std::size_t ColumnWidth(const std::string& text);

// At most `width` characters, "..." at the end where some were cut; control characters are blanked. REQUIRES: width
// >= 3.
std::string CutText(const std::string& text, std::size_t width);

// Blanks at the end up to `width`.
std::string PadText(const std::string& text, std::size_t width);

}  // namespace prefscore::cli
