// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/message_mutator.h"

#include <cstring>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/stubs/logging.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace prefscore::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxTextBytes = 256;
constexpr double kOddNumbers[] = {0.0,  -0.0, 1.0,   -1.0,  0.1,  -0.7, 1e-320, 1e300, -1e300, 700.0, -745.2, 1e-9,
                                  std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                                  std::numeric_limits<double>::quiet_NaN()};

std::size_t Below(Random& random, std::size_t count) {
  return std::uniform_int_distribution<std::size_t>(0, count - 1)(random);
}

template <typename Number>
Number MutatedNumber(Number number, Random& random) {
  if constexpr (std::is_same_v<Number, bool>) {
    return Below(random, 2) == 0;  // no other bits make a bool
  } else if constexpr (std::is_floating_point_v<Number>) {
    if (Below(random, 2) == 0) return static_cast<Number>(kOddNumbers[Below(random, std::size(kOddNumbers))]);
  } else if (Below(random, 2) == 0) {
    return static_cast<Number>(Below(random, 8));
  }
  LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(&number), sizeof(number), sizeof(number));
  return number;
}

// Calls `visit` with the field's reader, setter and adder for its type.
template <typename Visit>
void VisitScalar(const Message& message, const FieldDescriptor& field, Visit visit) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return visit(&Reflection::GetInt32, &Reflection::SetInt32, &Reflection::GetRepeatedInt32,
                   &Reflection::SetRepeatedInt32, &Reflection::AddInt32);
    case FieldDescriptor::CPPTYPE_INT64:
      return visit(&Reflection::GetInt64, &Reflection::SetInt64, &Reflection::GetRepeatedInt64,
                   &Reflection::SetRepeatedInt64, &Reflection::AddInt64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return visit(&Reflection::GetUInt32, &Reflection::SetUInt32, &Reflection::GetRepeatedUInt32,
                   &Reflection::SetRepeatedUInt32, &Reflection::AddUInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return visit(&Reflection::GetUInt64, &Reflection::SetUInt64, &Reflection::GetRepeatedUInt64,
                   &Reflection::SetRepeatedUInt64, &Reflection::AddUInt64);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return visit(&Reflection::GetDouble, &Reflection::SetDouble, &Reflection::GetRepeatedDouble,
                   &Reflection::SetRepeatedDouble, &Reflection::AddDouble);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return visit(&Reflection::GetFloat, &Reflection::SetFloat, &Reflection::GetRepeatedFloat,
                   &Reflection::SetRepeatedFloat, &Reflection::AddFloat);
    case FieldDescriptor::CPPTYPE_BOOL:
      return visit(&Reflection::GetBool, &Reflection::SetBool, &Reflection::GetRepeatedBool,
                   &Reflection::SetRepeatedBool, &Reflection::AddBool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return visit(&Reflection::GetEnumValue, &Reflection::SetEnumValue, &Reflection::GetRepeatedEnumValue,
                   &Reflection::SetRepeatedEnumValue, &Reflection::AddEnumValue);
    default: return;
  }
}

// `at`: the place in a repeated field, its size to append.
void MutateScalar(Message& message, const FieldDescriptor& field, int at, Random& random) {
  const Reflection& reflection = *message.GetReflection();
  const bool appends = field.is_repeated() && at == reflection.FieldSize(message, &field);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    if (!field.is_repeated()) {
      reflection.SetString(&message, &field, MutatedText(reflection.GetString(message, &field)));
    } else if (appends) {
      reflection.AddString(&message, &field, MutatedText(""));
    } else {
      reflection.SetRepeatedString(&message, &field, at,
                                   MutatedText(reflection.GetRepeatedString(message, &field, at)));
    }
    return;
  }
  VisitScalar(message, field, [&](auto get, auto set, auto get_repeated, auto set_repeated, auto add) {
    using Number = std::decay_t<decltype((reflection.*get)(message, &field))>;
    if (!field.is_repeated()) {
      (reflection.*set)(&message, &field, MutatedNumber<Number>((reflection.*get)(message, &field), random));
    } else if (appends) {
      (reflection.*add)(&message, &field, MutatedNumber<Number>(Number{}, random));
    } else {
      (reflection.*set_repeated)(&message, &field, at,
                                 MutatedNumber<Number>((reflection.*get_repeated)(message, &field, at), random));
    }
  });
}

void Mutate(Message& message, Random& random, int depth);

void MutateRepeated(Message& message, const FieldDescriptor& field, Random& random, int depth) {
  const Reflection& reflection = *message.GetReflection();
  const int size = reflection.FieldSize(message, &field);
  const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  switch (size == 0 ? 0 : Below(random, 4)) {
    case 0:  // one more: a copy of another one, or a new one
      if (!is_message) return MutateScalar(message, field, size, random);
      {
        Message& added = *reflection.AddMessage(&message, &field);
        if (size > 0) {
          added.CopyFrom(reflection.GetRepeatedMessage(message, &field, static_cast<int>(Below(random, size))));
        }
        return Mutate(added, random, depth + 1);
      }
    case 1: return reflection.RemoveLast(&message, &field);
    case 2:
      return reflection.SwapElements(&message, &field, static_cast<int>(Below(random, size)),
                                     static_cast<int>(Below(random, size)));
    default: {
      const int at = static_cast<int>(Below(random, size));
      if (!is_message) return MutateScalar(message, field, at, random);
      return Mutate(*reflection.MutableRepeatedMessage(&message, &field, at), random, depth + 1);
    }
  }
}

void Mutate(Message& message, Random& random, int depth) {
  const auto& type = *message.GetDescriptor();
  if (type.field_count() == 0 || depth > kMaxDepth) return;
  const Reflection& reflection = *message.GetReflection();
  // Half of the time a field that is set: depth is reached by going on where something is.
  std::vector<const FieldDescriptor*> set_fields;
  reflection.ListFields(message, &set_fields);
  const FieldDescriptor* field = !set_fields.empty() && Below(random, 2) == 0
                                     ? set_fields[Below(random, set_fields.size())]
                                     : type.field(static_cast<int>(Below(random, type.field_count())));
  if (field->is_repeated()) return MutateRepeated(message, *field, random, depth);
  if (reflection.HasField(message, field) && Below(random, 8) == 0) return reflection.ClearField(&message, field);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return MutateScalar(message, *field, 0, random);
  Mutate(*reflection.MutableMessage(&message, field), random, depth + 1);
}

}  // namespace

std::string MutatedText(std::string text) {
  const std::size_t size = text.size();
  text.resize(size + kMaxTextBytes);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
  return text;
}

void MutateMessage(Message& message, Random& random) { Mutate(message, random, 0); }

std::size_t MutateSerialized(Message& message, std::uint8_t* data, std::size_t size, std::size_t max_size,
                             unsigned int seed) {
  const google::protobuf::LogSilencer silencer;
  Random random(seed);
  if (Below(random, 16) == 0) return LLVMFuzzerMutate(data, size, max_size);
  if (!message.ParsePartialFromArray(data, static_cast<int>(size))) message.Clear();
  for (std::size_t num_changes = 1 + Below(random, 4); num_changes > 0; --num_changes) MutateMessage(message, random);
  const std::string bytes = message.SerializePartialAsString();
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}

}  // namespace prefscore::fuzz
