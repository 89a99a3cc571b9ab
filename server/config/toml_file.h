// SPDX-License-Identifier: Apache-2.0
// Configuration files in TOML, for the parser of command lines.
#pragma once

#include <CLI/App.hpp>
#include <istream>
#include <string>
#include <vector>

namespace prefscore {

// Reads and writes with a TOML library; CLI11's own reader takes much that is no TOML, and its writer escapes nothing.
class TomlFile : public CLI::Config {
 public:
  // `app`, which must outlive this, has the options that a file may set.
  explicit TomlFile(const CLI::App& app) : app_(app) {}

  // All configurable options of `app`, defaults included, in the order they were added. Descriptions and sub-commands
  // are not written.
  std::string to_config(const CLI::App* app, bool default_also, bool write_description,
                        std::string prefix) const override;
  // Throws CLI::ConfigError, which names the line.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

 private:
  const CLI::App& app_;
};

}  // namespace prefscore
