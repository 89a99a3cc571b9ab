// SPDX-License-Identifier: Apache-2.0
// Structure-aware mutation: changes fields of a message, where libFuzzer alone would mostly make bytes that are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "google/protobuf/message.h"

namespace prefscore::fuzz {

using Random = std::minstd_rand;

// One change somewhere in `message`: a field set, cleared, changed, repeated or dropped. Texts and numbers are changed
// by libFuzzer, which knows what the code compares them with.
void MutateMessage(google::protobuf::Message& message, Random& random);

// `text`, changed by libFuzzer.
std::string MutatedText(std::string text);

// For LLVMFuzzerCustomMutator: parses the input as `message`, changes it, writes it back. Returns the new size. At
// times it changes the bytes instead, so that what is no message is tried, too.
std::size_t MutateSerialized(google::protobuf::Message& message, std::uint8_t* data, std::size_t size,
                             std::size_t max_size, unsigned int seed);

}  // namespace prefscore::fuzz
