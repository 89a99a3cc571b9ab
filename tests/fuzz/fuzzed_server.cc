// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzzed_server.h"

#include <fcntl.h>

#include <utility>

#include "server/metrics/scorer_metrics.h"
#include "server/tokenizer/chat_variables.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/testing/fake_model.h"

namespace prefscore::fuzz {
namespace {

// Each byte is its own id. Conversations go through the checks of real ones and are not rendered by a template.
class ByteTokenizer final : public Tokenizer {
 public:
  absl::StatusOr<TokenIds> Encode(const std::string& text, bool add_special_tokens) const override {
    TokenIds ids(add_special_tokens ? 1 : 0, 1);
    for (const char byte : text) ids.push_back(static_cast<std::uint8_t>(byte));
    return ids;
  }
  absl::StatusOr<RenderedChat> RenderChat(const ChatTemplateInput& input) const override {
    const auto chat = MakeChatVariables(input, {});
    if (!chat.ok()) return chat.status();
    return RenderedChat{.text = chat->variables.dump(), .date = ""};
  }
  bool has_chat_template() const override { return true; }
  const std::string& eos_token() const override { return eos_token_; }
  std::int64_t vocab_size() const override { return 256; }
  const std::string& fingerprint() const override { return fingerprint_; }

 private:
  const std::string eos_token_ = "$";
  const std::string fingerprint_ = "fingerprint";
};

grpc::ByteBuffer Buffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

FuzzedServer::FuzzedServer(const InputFolder& folder) {
  const auto policy = std::make_shared<testing::FakeModel>("digest-policy", 0.25);
  policy->PoisonToken(13);
  const auto tokenizer = std::make_shared<ByteTokenizer>();
  registry_ = std::make_unique<ModelRegistry>(
      *ModelRegistry::Create({{"policy", policy, tokenizer},
                              {"reference", std::make_shared<testing::FakeModel>("digest-reference", 0.5), tokenizer},
                              {"bare", std::make_shared<testing::FakeModel>("digest-bare"), nullptr}},
                             "policy", "reference"));
  metrics_ = std::make_unique<Metrics>(
      std::vector<std::string>(std::begin(kMethodNames), std::end(kMethodNames)),
      std::vector<std::string>(std::begin(kServiceNames), std::end(kServiceNames)));
  metrics_->SetModels(LabelsOf(*registry_));
  logger_ = std::make_unique<Logger>(LoggerOptions{
      .format = LogFormat::kJson, .level = LogLevel::kDebug, .descriptor = open("/dev/null", O_WRONLY | O_CLOEXEC)});
  folder.Write("tokens.toml", TokenFileText());
  tokens_ = *TokenStore::Load(folder.path() / "tokens.toml", metrics_->access().Observer());
  Limits limits;
  limits.max_pairs_per_request = 16;
  limits.max_text_bytes = 256;
  limits.max_queued_tokens = 4096;
  ScorerOptions options;
  options.scheduler = SchedulerOptionsOf(limits);
  scorer_ = std::make_unique<Scorer>(options, CountInto(*metrics_));
  const ServiceContext context = {.registry = registry_.get(),
                                  .scorer = scorer_.get(),
                                  .metrics = metrics_.get(),
                                  .logger = logger_.get(),
                                  .call_log = {.with_content = true},
                                  .limits = limits,
                                  .access = {tokens_.get()},
                                  .open_calls = &open_calls_};
  scoring_ = std::make_unique<ScoringService>(context);
  diagnostics_ = std::make_unique<DiagnosticsService>(context);
  models_ = std::make_unique<ModelService>(context);
  admin_ = std::make_unique<AdminService>(context, AdminContext{.tokens = tokens_.get(), .logger = logger_.get()});
  grpc::ServerBuilder builder;
  builder.RegisterService(scoring_.get());
  builder.RegisterService(diagnostics_.get());
  builder.RegisterService(models_.get());
  builder.RegisterService(admin_.get());
  server_ = builder.BuildAndStart();
  stub_ = std::make_unique<grpc::GenericStub>(server_->InProcessChannel(grpc::ChannelArguments()));
}

FuzzedServer::~FuzzedServer() { server_->Shutdown(); }

grpc::Status FuzzedServer::Call(const char* path, const CallMetadata& metadata,
                                const std::vector<std::string>& messages) {
  grpc::ClientContext context;
  for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
  grpc::CompletionQueue queue;
  // A stream of requests and replies for every method: on the wire there is no difference.
  const auto call = stub_->PrepareCall(&context, path, &queue);
  bool ok = false;
  void* tag = nullptr;
  const auto wait = [&] { return queue.Next(&tag, &ok) && ok; };
  call->StartCall(nullptr);
  bool goes_on = wait();
  for (const std::string& message : messages) {
    if (!goes_on) break;
    call->Write(Buffer(message), nullptr);
    goes_on = wait();
  }
  if (goes_on) {
    call->WritesDone(nullptr);
    wait();
  }
  grpc::ByteBuffer reply;
  do {
    call->Read(&reply, nullptr);
  } while (wait());
  grpc::Status status;
  call->Finish(&status, nullptr);
  FUZZ_CHECK(wait(), "the call does not finish");
  return status;
}

}  // namespace prefscore::fuzz
