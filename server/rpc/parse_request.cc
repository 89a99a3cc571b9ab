// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/parse_request.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <cstdint>
#include <map>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/stubs/logging.h"
#include "google/protobuf/wire_format_lite.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;

// Walks the serialised message of `type` in `wire[0, size)`, blanks every string that protobuf would refuse and appends
// its path. Returns false where the bytes are malformed.
bool BlankInvalidText(const Descriptor& type, const std::string& path, std::uint8_t* wire, int size,
                      std::vector<std::string>& fields) {
  google::protobuf::io::CodedInputStream input(wire, size);
  std::map<int, int> num_seen;  // occurrences so far, by field number
  while (const std::uint32_t tag = input.ReadTag()) {
    const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    if (field == nullptr || WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&input, tag)) return false;
      continue;
    }
    std::uint32_t length = 0;
    if (!input.ReadVarint32(&length)) return false;
    const int begin = input.CurrentPosition();
    if (length > static_cast<std::uint32_t>(size - begin) || !input.Skip(static_cast<int>(length))) return false;

    std::string field_path = path.empty() ? field->name() : absl::StrCat(path, ".", field->name());
    if (field->is_repeated()) absl::StrAppend(&field_path, "[", num_seen[field->number()]++, "]");
    const int sub_size = static_cast<int>(length);
    if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      if (!BlankInvalidText(*field->message_type(), field_path, wire + begin, sub_size, fields)) return false;
    } else if (field->type() == FieldDescriptor::TYPE_STRING &&
               !WireFormatLite::VerifyUtf8String(reinterpret_cast<const char*>(wire + begin), sub_size,
                                                 WireFormatLite::PARSE, field->full_name().c_str())) {
      std::fill(wire + begin, wire + begin + sub_size, '?');
      fields.push_back(field_path);
    }
  }
  return input.ConsumedEntireMessage();
}

std::string Flatten(const grpc::ByteBuffer& buffer) {
  std::string wire;
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return wire;
  for (const grpc::Slice& slice : slices) wire.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return wire;
}

}  // namespace

std::string InvalidText::Under(const std::string& path) const {
  for (const std::string& field : fields) {
    if (field == path || absl::StartsWith(field, path + ".") || absl::StartsWith(field, path + "[")) return field;
  }
  return "";
}

absl::Status ParseRequest(const grpc::ByteBuffer& buffer, google::protobuf::Message& message,
                          InvalidText& invalid_text) {
  const google::protobuf::LogSilencer silencer;  // what is wrong with a request is told to its sender
  {
    grpc::ByteBuffer copy(buffer);  // of the reference, not of the bytes
    grpc::ProtoBufferReader reader(&copy);
    if (reader.status().ok() && message.ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  }
  std::string wire = Flatten(buffer);
  if (!BlankInvalidText(*message.GetDescriptor(), "", reinterpret_cast<std::uint8_t*>(wire.data()),
                        static_cast<int>(wire.size()), invalid_text.fields) ||
      !message.ParseFromString(wire)) {
    return FieldError(message.GetTypeName(), absl::StrCat("the message's ", wire.size(), " bytes are not of this type"));
  }
  return absl::OkStatus();
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  grpc::ByteBuffer buffer;
  bool own_buffer = false;
  // Fails only beyond 2 GiB, which the limits on a request keep out of reach.
  grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &buffer, &own_buffer);
  return buffer;
}

std::uint64_t Fingerprint(const grpc::ByteBuffer& buffer) {
  // In one piece: equal requests arrive in pieces that differ.
  grpc::Slice whole;
  if (!buffer.DumpToSingleSlice(&whole).ok()) return 1;
  const std::uint64_t hash = absl::HashOf(absl::string_view(reinterpret_cast<const char*>(whole.begin()), whole.size()));
  return hash == 0 ? 1 : hash;
}

absl::Status InvalidTextError(const std::string& field) { return FieldError(field, "is not valid UTF-8"); }

}  // namespace prefscore
