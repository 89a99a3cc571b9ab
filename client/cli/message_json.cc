// SPDX-License-Identifier: Apache-2.0
#include "client/cli/message_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "nlohmann/json.hpp"

namespace prefscore::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kIndent = 2;

template <typename Number>
void AppendNumber(Number value, std::string& out) {
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

template <typename Real>
void AppendReal(Real value, std::string& out) {
  if (std::isfinite(value)) return AppendNumber(value, out);
  out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
}

void AppendText(const std::string& text, std::string& out) {
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

class Writer {
 public:
  Writer(JsonLayout layout, std::string& out) : is_indented_(layout == JsonLayout::kIndented), out_(out) {}

  void Write(const Message& message) {
    const Reflection& reflection = *message.GetReflection();
    Open('{');
    for (int idx = 0; idx < message.GetDescriptor()->field_count(); ++idx) {
      const FieldDescriptor& field = *message.GetDescriptor()->field(idx);
      if (!field.is_repeated() && field.has_presence() && !reflection.HasField(message, &field)) continue;
      Separate();
      AppendText(field.name(), out_);
      out_ += is_indented_ ? ": " : ":";
      if (field.is_map()) {
        WriteMap(message, reflection, field);
      } else if (field.is_repeated()) {
        WriteList(message, reflection, field);
      } else {
        WriteSingle(message, reflection, field);
      }
    }
    Close('}');
  }

 private:
  void Open(char bracket) {
    out_ += bracket;
    ++depth_;
    is_first_ = true;
  }
  void Close(char bracket) {
    --depth_;
    if (!is_first_) NewLine();
    out_ += bracket;
    is_first_ = false;
  }
  void Separate() {
    if (!is_first_) out_ += ',';
    is_first_ = false;
    NewLine();
  }
  void NewLine() {
    if (!is_indented_) return;
    out_ += '\n';
    out_.append(depth_ * kIndent, ' ');
  }

  void WriteSingle(const Message& message, const Reflection& reflection, const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32: return AppendNumber(reflection.GetInt32(message, &field), out_);
      case FieldDescriptor::CPPTYPE_UINT32: return AppendNumber(reflection.GetUInt32(message, &field), out_);
      case FieldDescriptor::CPPTYPE_INT64: return AppendNumber(reflection.GetInt64(message, &field), out_);
      case FieldDescriptor::CPPTYPE_UINT64: return AppendNumber(reflection.GetUInt64(message, &field), out_);
      case FieldDescriptor::CPPTYPE_DOUBLE: return AppendReal(reflection.GetDouble(message, &field), out_);
      case FieldDescriptor::CPPTYPE_FLOAT: return AppendReal(reflection.GetFloat(message, &field), out_);
      case FieldDescriptor::CPPTYPE_BOOL: out_ += reflection.GetBool(message, &field) ? "true" : "false"; return;
      case FieldDescriptor::CPPTYPE_ENUM: return AppendText(reflection.GetEnum(message, &field)->name(), out_);
      case FieldDescriptor::CPPTYPE_STRING: return AppendText(reflection.GetString(message, &field), out_);
      case FieldDescriptor::CPPTYPE_MESSAGE: return Write(reflection.GetMessage(message, &field));
    }
  }

  // Lists of numbers stay on one line.
  void WriteList(const Message& message, const Reflection& reflection, const FieldDescriptor& field) {
    const int size = reflection.FieldSize(message, &field);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Open('[');
      for (int idx = 0; idx < size; ++idx) {
        Separate();
        Write(reflection.GetRepeatedMessage(message, &field, idx));
      }
      return Close(']');
    }
    out_ += '[';
    for (int idx = 0; idx < size; ++idx) {
      if (idx > 0) out_ += is_indented_ ? ", " : ",";
      switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_DOUBLE:
          AppendReal(reflection.GetRepeatedDouble(message, &field, idx), out_);
          break;
        case FieldDescriptor::CPPTYPE_FLOAT: AppendReal(reflection.GetRepeatedFloat(message, &field, idx), out_); break;
        case FieldDescriptor::CPPTYPE_UINT32:
          AppendNumber(reflection.GetRepeatedUInt32(message, &field, idx), out_);
          break;
        case FieldDescriptor::CPPTYPE_UINT64:
          AppendNumber(reflection.GetRepeatedUInt64(message, &field, idx), out_);
          break;
        default: AppendText(reflection.GetRepeatedString(message, &field, idx), out_); break;
      }
    }
    out_ += ']';
  }

  // By key, so that equal messages give equal text. Keys are strings.
  void WriteMap(const Message& message, const Reflection& reflection, const FieldDescriptor& field) {
    const FieldDescriptor& key = *field.message_type()->map_key();
    const FieldDescriptor& value = *field.message_type()->map_value();
    std::vector<std::pair<std::string, const Message*>> entries;
    for (int idx = 0; idx < reflection.FieldSize(message, &field); ++idx) {
      const Message& entry = reflection.GetRepeatedMessage(message, &field, idx);
      entries.emplace_back(entry.GetReflection()->GetString(entry, &key), &entry);
    }
    std::sort(entries.begin(), entries.end());
    Open('{');
    for (const auto& [name, entry] : entries) {
      Separate();
      AppendText(name, out_);
      out_ += is_indented_ ? ": " : ":";
      WriteSingle(*entry, *entry->GetReflection(), value);
    }
    Close('}');
  }

  const bool is_indented_;
  std::string& out_;
  int depth_ = 0;
  bool is_first_ = true;
};

}  // namespace

std::string MessageToJson(const google::protobuf::Message& message, JsonLayout layout) {
  std::string text;
  Writer(layout, text).Write(message);
  if (layout == JsonLayout::kIndented) text += '\n';
  return text;
}

}  // namespace prefscore::cli
