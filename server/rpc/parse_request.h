// SPDX-License-Identifier: Apache-2.0
// From bytes to a request message, and from a response message to bytes.
//
// The services take raw bytes because protobuf refuses a whole message for one string that is not UTF-8, and gRPC then
// answers UNIMPLEMENTED without a word. Here the string is named and its neighbours are kept.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace prefscore {

struct InvalidText {
  std::vector<std::string> fields;  // paths such as "pairs[3].chosen.text"

  // The first of them that is at or under `path`; empty where there is none.
  std::string Under(const std::string& path) const;
};

// Parses `buffer` into `message`. Strings that are not UTF-8 are blanked with '?' and named in `invalid_text`: whether
// they fail a pair or the call is the caller's. INVALID_ARGUMENT where the bytes are no such message.
absl::Status ParseRequest(const grpc::ByteBuffer& buffer, google::protobuf::Message& message,
                          InvalidText& invalid_text);

grpc::ByteBuffer Serialize(const google::protobuf::Message& message);

// A number that the same bytes always give in this process, and others hardly ever. Never 0.
std::uint64_t Fingerprint(const grpc::ByteBuffer& buffer);

// The FieldError for a string that is not UTF-8.
absl::Status InvalidTextError(const std::string& field);

}  // namespace prefscore
