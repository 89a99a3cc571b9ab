// SPDX-License-Identifier: Apache-2.0
// Every request message by every kind of caller, through the whole server but the network: an in-process channel, fake
// models, a token file, a log with content.
// First byte: the method; second: the caller; then a header's text, behind its length; then the message, or several of
// them for a stream, each behind its length.
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "prefscore/v1/admin.pb.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzzed_callers.h"
#include "tests/fuzz/fuzzed_server.h"
#include "tests/fuzz/message_mutator.h"

namespace prefscore::fuzz {
namespace {

struct Method {
  const char* path;
  bool is_stream;  // of requests
  Role role;       // that its callers need
  std::unique_ptr<google::protobuf::Message> (*make_request)();
};

template <typename Request>
std::unique_ptr<google::protobuf::Message> Make() {
  return std::make_unique<Request>();
}

constexpr Method kMethods[] = {
    {"/prefscore.v1.ScoringService/ScorePairs", false, Role::kScore, Make<v1::ScorePairsRequest>},
    {"/prefscore.v1.ScoringService/StreamScorePairs", true, Role::kScore, Make<v1::StreamScorePairsRequest>},
    {"/prefscore.v1.ScoringService/ScoreCompletions", false, Role::kScore, Make<v1::ScoreCompletionsRequest>},
    {"/prefscore.v1.ScoringService/EvaluateObjectives", false, Role::kScore, Make<v1::EvaluateObjectivesRequest>},
    {"/prefscore.v1.ScoringService/ListObjectives", false, Role::kScore, Make<v1::ListObjectivesRequest>},
    {"/prefscore.v1.DiagnosticsService/AnalyzePairs", true, Role::kScore, Make<v1::AnalyzePairsRequest>},
    {"/prefscore.v1.ModelService/ListModels", false, Role::kScore, Make<v1::ListModelsRequest>},
    {"/prefscore.v1.ModelService/GetModel", false, Role::kScore, Make<v1::GetModelRequest>},
    {"/prefscore.v1.AdminService/GetStatus", false, Role::kAdmin, Make<v1::GetStatusRequest>},
    {"/prefscore.v1.AdminService/SetLogLevel", false, Role::kAdmin, Make<v1::SetLogLevelRequest>},
    {"/prefscore.v1.AdminService/ReloadTokens", false, Role::kAdmin, Make<v1::ReloadTokensRequest>},
};

const Method& MethodOf(std::uint8_t byte) { return kMethods[byte % std::size(kMethods)]; }
const FuzzedCaller& CallerOf(std::uint8_t byte) { return kCallers[byte % std::size(kCallers)]; }

// Cuts a text off `rest` that stands behind its length in one varint, as protobuf delimits messages; the last may be cut
// short. False where there is none.
bool NextDelimited(std::string_view& rest, std::string& text) {
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(rest.data()),
                                               static_cast<int>(rest.size()));
  std::uint32_t length = 0;
  if (!input.ReadVarint32(&length)) return false;
  rest.remove_prefix(static_cast<std::size_t>(input.CurrentPosition()));
  text = rest.substr(0, length);
  rest.remove_prefix(text.size());
  return true;
}

void AppendDelimited(const std::string& text, std::string& bytes) {
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream(&stream).WriteVarint32(static_cast<std::uint32_t>(text.size()));
  }
  bytes.append(text);
}

struct Input {
  std::uint8_t method = 0;
  std::uint8_t caller = 0;
  std::string header;
  std::vector<std::string> messages;  // of a method with one request: one
};

Input Parse(std::string_view bytes) {
  Input input;
  if (bytes.size() > 0) input.method = static_cast<std::uint8_t>(bytes[0]);
  if (bytes.size() > 1) input.caller = static_cast<std::uint8_t>(bytes[1]);
  bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 2));
  NextDelimited(bytes, input.header);
  if (!MethodOf(input.method).is_stream) {
    input.messages.emplace_back(bytes);
    return input;
  }
  for (std::string message; NextDelimited(bytes, message);) input.messages.push_back(message);
  return input;
}

std::string Serialize(const Input& input) {
  std::string bytes = {static_cast<char>(input.method), static_cast<char>(input.caller)};
  AppendDelimited(input.header, bytes);
  for (const std::string& message : input.messages) {
    if (MethodOf(input.method).is_stream) {
      AppendDelimited(message, bytes);
    } else {
      bytes.append(message);
    }
  }
  return bytes;
}

// Whatever was asked, the server answers with a status that puts the blame where it lies, and lets in those who may.
void CheckStatus(const Method& method, const FuzzedCaller& caller, const grpc::Status& status) {
  const std::string what = std::string(method.path) + " by " + caller.name + ": " +
                           std::to_string(status.error_code()) + " " + status.error_message();
  for (const grpc::StatusCode fault_of_the_server :
       {grpc::INTERNAL, grpc::UNKNOWN, grpc::UNAVAILABLE, grpc::DATA_LOSS, grpc::DEADLINE_EXCEEDED}) {
    FUZZ_CHECK(status.error_code() != fault_of_the_server, what);
  }
  const grpc::StatusCode refusal = RefusalOf(caller, method.role);
  const bool is_refused =
      status.error_code() == grpc::UNAUTHENTICATED || status.error_code() == grpc::PERMISSION_DENIED;
  FUZZ_CHECK(refusal == grpc::OK ? !is_refused : status.error_code() == refusal, what);
}

// Another message in the place of one of `input`, or one more.
void MutateMessages(Input& input, std::size_t max_size, unsigned int seed) {
  constexpr unsigned int kAddsOneIn = 64;
  const Method& method = MethodOf(input.method);
  std::vector<std::string>& messages = input.messages;
  if (messages.empty() || (method.is_stream && seed % kAddsOneIn == 0)) {
    messages.push_back(messages.empty() ? "" : messages.back());
  }
  std::string& changed = messages[seed % messages.size()];
  const std::size_t num_bytes = changed.size();
  changed.resize(max_size);
  changed.resize(MutateSerialized(*method.make_request(), reinterpret_cast<std::uint8_t*>(changed.data()), num_bytes,
                                  max_size, seed));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const InputFolder folder;  // outlives the server's use of it
  static FuzzedServer& server = *new FuzzedServer(folder);  // gRPC's threads outlive main
  const Input input = Parse(Text(data, size));
  const Method& method = MethodOf(input.method);
  const FuzzedCaller& caller = CallerOf(input.caller);
  CheckStatus(method, caller, server.Call(method.path, MetadataOf(caller, input.header), input.messages));
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int seed) {
  Input input = Parse(Text(data, size));
  const unsigned int chance = seed % 64;
  seed /= 64;
  if (chance == 0) {  // the same message to another method, or by another caller
    input.method = static_cast<std::uint8_t>(seed % std::size(kMethods));
  } else if (chance == 1) {
    input.caller = static_cast<std::uint8_t>(seed % std::size(kCallers));
  } else if (chance == 2) {
    input.header = MutatedText(std::move(input.header));
  } else {
    MutateMessages(input, max_size, seed);
  }
  std::string bytes = Serialize(input);
  bytes.resize(std::min(bytes.size(), max_size));
  std::copy(bytes.begin(), bytes.end(), data);
  return bytes.size();
}

}  // namespace prefscore::fuzz
