// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them. Plain text: "<0.01%" is to be escaped in HTML.
#pragma once

#include <cstdint>
#include <string>

namespace prefscore::report_html {

// With thousands separators: "12,345".
std::string CountText(std::uint64_t count);

// Four significant digits: "0.6931", "12.30", "12,346", "1.235e9", "1.200e-5". Whole numbers below 1e7 have no
// decimals.
std::string NumberText(double number);

// Of a share in [0, 1]: "71.23%"; "<0.01%" and ">99.99%" where rounding would claim 0% or 100%.
std::string PercentText(double share);

// The shortest of at most six significant digits, for what somebody chose: "0.1", "100", "1e-7".
std::string ParameterText(double number);

// For narrow places, three significant digits: "0.693", "12.3k", "4.5M", "1.2e-4".
std::string ShortNumberText(double number);

// The same of a share: "71%", "<1%", ">99%".
std::string ShortPercentText(double share);

// "1 pair", "12,345 pairs".
std::string CountOf(std::uint64_t count, const std::string& singular);

}  // namespace prefscore::report_html
