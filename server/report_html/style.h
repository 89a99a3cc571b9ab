// SPDX-License-Identifier: Apache-2.0
// The page's style sheet. Every colour is a custom property with a light and a dark value; pictures use them by class.
#pragma once

#include <string>

namespace prefscore::report_html {

std::string StyleSheet();

}  // namespace prefscore::report_html
