// SPDX-License-Identifier: Apache-2.0
// Every request message, through the whole server but the network: an in-process channel, fake models, the real cache
// of checks. First byte: the method; then the message, or several of them for a stream, each behind its length.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzzed_server.h"
#include "tests/fuzz/message_mutator.h"

namespace prefscore::fuzz {
namespace {

struct Method {
  const char* path;
  bool is_stream;  // of requests
  std::unique_ptr<google::protobuf::Message> (*make_request)();
};

template <typename Request>
std::unique_ptr<google::protobuf::Message> Make() {
  return std::make_unique<Request>();
}

constexpr Method kMethods[] = {
    {"/prefscore.v1.ScoringService/ScorePairs", false, Make<v1::ScorePairsRequest>},
    {"/prefscore.v1.ScoringService/StreamScorePairs", true, Make<v1::StreamScorePairsRequest>},
    {"/prefscore.v1.ScoringService/ScoreCompletions", false, Make<v1::ScoreCompletionsRequest>},
    {"/prefscore.v1.ScoringService/EvaluateObjectives", false, Make<v1::EvaluateObjectivesRequest>},
    {"/prefscore.v1.ScoringService/ListObjectives", false, Make<v1::ListObjectivesRequest>},
    {"/prefscore.v1.DiagnosticsService/AnalyzePairs", true, Make<v1::AnalyzePairsRequest>},
    {"/prefscore.v1.ModelService/ListModels", false, Make<v1::ListModelsRequest>},
    {"/prefscore.v1.ModelService/GetModel", false, Make<v1::GetModelRequest>},
};

const Method& MethodOf(std::uint8_t first_byte) { return kMethods[first_byte % std::size(kMethods)]; }

// The messages of a stream: each behind its length in one varint, as protobuf delimits them. The last may be cut off.
std::vector<std::string> Messages(const Method& method, std::string_view bytes) {
  if (!method.is_stream) return {std::string(bytes)};
  std::vector<std::string> messages;
  while (!bytes.empty()) {
    google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                 static_cast<int>(bytes.size()));
    std::uint32_t length = 0;
    if (!input.ReadVarint32(&length)) break;
    bytes.remove_prefix(static_cast<std::size_t>(input.CurrentPosition()));
    messages.emplace_back(bytes.substr(0, length));
    bytes.remove_prefix(messages.back().size());
  }
  return messages;
}

void AppendMessage(const Method& method, const std::string& message, std::string& bytes) {
  if (method.is_stream) {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream(&stream).WriteVarint32(static_cast<std::uint32_t>(message.size()));
  }
  bytes.append(message);
}

// Whatever was asked, the server answers with a status that puts the blame where it lies.
void CheckStatus(const Method& method, const grpc::Status& status) {
  const std::string what = std::string(method.path) + ": " + std::to_string(status.error_code()) + " " +
                           status.error_message();
  for (const grpc::StatusCode fault_of_the_server :
       {grpc::INTERNAL, grpc::UNKNOWN, grpc::UNAVAILABLE, grpc::DATA_LOSS, grpc::DEADLINE_EXCEEDED}) {
    FUZZ_CHECK(status.error_code() != fault_of_the_server, what);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static FuzzedServer& server = *new FuzzedServer;  // gRPC's threads outlive main
  if (size == 0) return 0;
  const Method& method = MethodOf(data[0]);
  CheckStatus(method, server.Call(method.path, Messages(method, Text(data + 1, size - 1))));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  constexpr unsigned int kOneIn = 64;
  if (size == 0 || seed % kOneIn == 0) {  // another method with the same message
    data[0] = static_cast<std::uint8_t>(seed / kOneIn);
    return std::max<std::size_t>(size, 1);
  }
  const Method& method = MethodOf(data[0]);
  std::vector<std::string> messages = Messages(method, Text(data + 1, size - 1));
  if (messages.empty() || (method.is_stream && seed % kOneIn == 1)) {
    messages.push_back(messages.empty() ? "" : messages.back());
  }
  std::string& changed = messages[seed % messages.size()];
  const std::size_t num_bytes = changed.size();
  changed.resize(max_size);
  changed.resize(MutateSerialized(*method.make_request(), reinterpret_cast<std::uint8_t*>(changed.data()), num_bytes,
                                  max_size, seed));
  std::string bytes(1, static_cast<char>(data[0]));
  for (const std::string& message : messages) AppendMessage(method, message, bytes);
  bytes.resize(std::min(bytes.size(), max_size));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

}  // namespace prefscore::fuzz
