// SPDX-License-Identifier: Apache-2.0
#include "server/models/config_fields.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefscore {
namespace {

constexpr std::int64_t kMaxCount = INT32_MAX;

bool SaysNothing(const nlohmann::json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         ((value.is_string() || value.is_array() || value.is_object()) && value == nlohmann::json(value.type()));
}

bool IsFinitePositive(const nlohmann::json& value) {
  return value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0;
}

}  // namespace

ConfigFields::ConfigFields(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {}

std::string ConfigFields::Describe(std::string_view name) const {
  const auto found = object_.find(std::string(name));
  std::string value = found == object_.end() ? "missing" : found->dump();
  if (value.size() > 200) value = value.substr(0, 200) + "...";
  return absl::StrCat(where_, ": ", std::string(name), found == object_.end() ? " is " : " = ", value);
}

absl::Status ConfigFields::Invalid(std::string_view name, std::string_view expected) const {
  return absl::InvalidArgumentError(absl::StrCat(Describe(name), "; expected ", std::string(expected)));
}

absl::Status ConfigFields::Unsupported(std::string_view name, std::string_view supported) const {
  return absl::UnimplementedError(
      absl::StrCat(Describe(name), " is not supported; supported: ", std::string(supported)));
}

const nlohmann::json* ConfigFields::Find(std::string_view name) {
  Ignore(name);
  const auto found = object_.find(std::string(name));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool ConfigFields::Has(std::string_view name) const {
  const auto found = object_.find(std::string(name));
  return found != object_.end() && !found->is_null();
}

bool ConfigFields::IsNull(std::string_view name) const {
  const auto found = object_.find(std::string(name));
  return found != object_.end() && found->is_null();
}

std::int64_t ConfigFields::Count(std::string_view name, std::optional<std::int64_t> fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_number_integer() || *value < 1 || *value > kMaxCount) {
    Fault(Invalid(name, absl::StrCat("an integer from 1 to ", kMaxCount)));
    return fallback.value_or(1);
  }
  return value->get<std::int64_t>();
}

std::int64_t ConfigFields::Integer(std::string_view name, std::int64_t fallback) {
  const nlohmann::json* value = Find(name);
  return value != nullptr && *value == 0 ? 0 : Count(name, fallback);
}

double ConfigFields::Number(std::string_view name, std::optional<double> fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>())) {
    Fault(Invalid(name, "a finite number"));
    return fallback.value_or(1.0);
  }
  return value->get<double>();
}

double ConfigFields::Positive(std::string_view name, std::optional<double> fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !IsFinitePositive(*value)) {
    Fault(Invalid(name, "a finite number > 0"));
    return fallback.value_or(1.0);
  }
  return value->get<double>();
}

bool ConfigFields::Flag(std::string_view name, bool fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) {
    Fault(Invalid(name, "true or false"));
    return fallback;
  }
  return value->get<bool>();
}

std::string ConfigFields::Text(std::string_view name, std::optional<std::string> fallback) {
  const nlohmann::json* value = Find(name);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_string()) {
    Fault(Invalid(name, "a string"));
    return fallback.value_or("");
  }
  return value->get<std::string>();
}

std::vector<double> ConfigFields::Positives(std::string_view name) {
  const nlohmann::json* value = Find(name);
  std::vector<double> numbers;
  bool well_formed = value != nullptr && value->is_array();
  for (std::size_t i = 0; well_formed && i < value->size(); ++i) {
    well_formed = IsFinitePositive((*value)[i]);
    if (well_formed) numbers.push_back((*value)[i].get<double>());
  }
  if (!well_formed) Fault(Invalid(name, "a list of finite numbers > 0"));
  return numbers;
}

std::vector<std::string> ConfigFields::Texts(std::string_view name) {
  const nlohmann::json* value = Find(name);
  std::vector<std::string> texts;
  if (value == nullptr) return texts;
  bool well_formed = value->is_array();
  for (std::size_t i = 0; well_formed && i < value->size(); ++i) {
    well_formed = (*value)[i].is_string();
    if (well_formed) texts.push_back((*value)[i].get<std::string>());
  }
  if (!well_formed) Fault(Invalid(name, "a list of strings"));
  return texts;
}

std::vector<std::int64_t> ConfigFields::Integers(std::string_view name) {
  const nlohmann::json* value = Find(name);
  std::vector<std::int64_t> integers;
  if (value == nullptr) return integers;
  bool well_formed = value->is_array();
  for (std::size_t i = 0; well_formed && i < value->size(); ++i) {
    well_formed = (*value)[i].is_number_integer();
    if (well_formed) integers.push_back((*value)[i].get<std::int64_t>());
  }
  if (!well_formed) Fault(Invalid(name, "a list of integers"));
  return integers;
}

const nlohmann::json* ConfigFields::Object(std::string_view name) {
  const nlohmann::json* value = Find(name);
  if (value != nullptr && !value->is_object()) {
    Fault(Invalid(name, "an object"));
    return nullptr;
  }
  return value;
}

void ConfigFields::RefuseUnknown() {
  for (const auto& item : object_.items()) {
    if (known_.contains(item.key()) || SaysNothing(item.value())) continue;
    Fault(absl::UnimplementedError(
        absl::StrCat(Describe(item.key()), " is not supported: nothing here knows what it does to the numbers")));
  }
}

}  // namespace prefscore
