// SPDX-License-Identifier: Apache-2.0
#include "server/config/toml_file.h"

#include <toml++/toml.h>

#include <charconv>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

[[noreturn]] void Fail(const toml::source_region& source, const std::string& description) {
  throw CLI::ConfigError(absl::StrCat("--config: line ", source.begin.line, ": ", description));
}

// The fewest digits that are this number and no other.
std::string ShortestText(double number) {
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), number).ptr);
}

// As it would be typed after the flag.
std::string ToArgument(const std::string& key, const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return absl::StrCat(number->get());
  if (const auto* number = node.as_floating_point()) return ShortestText(number->get());
  if (const auto* truth = node.as_boolean()) return truth->get() ? "true" : "false";
  Fail(node.source(), absl::StrCat("'", key, "' is not a string, a number, true, false or an array of them; the file ",
                                   "has no tables"));
}

void WriteValue(const std::string& value, std::ostream& output) {
  std::int64_t integer = 0;
  double number = 0;
  if (value == "true" || value == "false" || (absl::SimpleAtoi(value, &integer) && absl::StrCat(integer) == value)) {
    output << value;
  } else if (absl::SimpleAtod(value, &number) && value.find_first_not_of("0123456789.-") == std::string::npos) {
    output << toml::value<double>(number);
  } else {
    output << toml::value<std::string>(value);
  }
}

}  // namespace

std::string TomlFile::to_config(const CLI::App* app, bool default_also, bool write_description,
                                std::string prefix) const {
  std::ostringstream output;
  for (const CLI::Option* option : app->get_options()) {
    if (!option->get_configurable() || option->get_lnames().empty()) continue;
    const bool is_list = option->get_expected_max() > 1;
    const std::vector<std::string> values =
        option->count() > 0 ? option->results() : std::vector<std::string>{option->get_default_str()};
    output << option->get_lnames().front() << " = " << (is_list ? "[" : "");
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) output << ", ";
      WriteValue(values[i], output);
    }
    output << (is_list ? "]\n" : "\n");
  }
  return output.str();
}

std::vector<CLI::ConfigItem> TomlFile::from_config(std::istream& input) const {
  toml::table table;
  try {
    table = toml::parse(input);
  } catch (const toml::parse_error& error) {
    Fail(error.source(), std::string(error.description()));
  }
  std::vector<CLI::ConfigItem> items;
  for (const auto& [key, node] : table) {
    CLI::ConfigItem item;
    item.name = std::string(key.str());
    const CLI::Option* option = app_.get_option_no_throw("--" + item.name);
    if (option == nullptr || !option->get_configurable()) {
      Fail(key.source(), absl::StrCat("'", item.name, "' is no option that a file can set; --help lists them"));
    }
    if (const auto* array = node.as_array()) {
      for (const toml::node& element : *array) item.inputs.push_back(ToArgument(item.name, element));
    } else {
      item.inputs.push_back(ToArgument(item.name, node));
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace prefscore
