// SPDX-License-Identifier: Apache-2.0
// Reads one object of a config.json field by field and remembers which fields were asked for, so that none that could
// change the numbers goes unnoticed.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace prefscore {

// A null field counts as absent, as it does in transformers. The first fault is kept in status(); after it the readers
// return their fallback, so that a caller may read everything and check once. Not thread-safe.
class ConfigFields {
 public:
  // `object` must outlive this. `where` begins every message: a file, or a file and the field that holds the object.
  ConfigFields(const nlohmann::json& object, std::string where);

  // The value, or `fallback` where absent; without a fallback an absent field is a fault, and so is a wrong type.
  std::int64_t Count(std::string_view name, std::optional<std::int64_t> fallback = {});  // 1 .. 2^31 - 1
  std::int64_t Integer(std::string_view name, std::int64_t fallback);                    // 0 .. 2^31 - 1
  double Number(std::string_view name, std::optional<double> fallback = {});             // finite
  double Positive(std::string_view name, std::optional<double> fallback = {});           // finite, > 0
  bool Flag(std::string_view name, bool fallback);
  std::string Text(std::string_view name, std::optional<std::string> fallback = {});
  std::vector<double> Positives(std::string_view name);       // a list of finite numbers > 0
  std::vector<std::string> Texts(std::string_view name);      // absent: empty
  std::vector<std::int64_t> Integers(std::string_view name);  // absent: empty
  const nlohmann::json* Object(std::string_view name);        // absent: null

  bool Has(std::string_view name) const;     // present and not null
  bool IsNull(std::string_view name) const;  // present and null, where that is not the same as absent
  void Ignore(std::string_view name) { known_.insert(std::string(name)); }

  // UNIMPLEMENTED fault, by name and value, for a field that was neither read nor ignored and that says something: not
  // null, false, or an empty text, list or object.
  void RefuseUnknown();

  void Fault(const absl::Status& status) { status_.Update(status); }
  absl::Status Invalid(std::string_view name, std::string_view expected) const;       // INVALID_ARGUMENT
  absl::Status Unsupported(std::string_view name, std::string_view supported) const;  // UNIMPLEMENTED

  const absl::Status& status() const { return status_; }
  const std::string& where() const { return where_; }

 private:
  const nlohmann::json* Find(std::string_view name);  // null where absent
  std::string Describe(std::string_view name) const;  // "<where>: <name> = <value>"

  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string> known_;
  absl::Status status_;
};

}  // namespace prefscore
