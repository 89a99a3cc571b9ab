// SPDX-License-Identifier: Apache-2.0
// Calls on a server that has a token file: who is let in, and how much.
#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/generic_stub.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "prefscore/v1/diagnostics.grpc.pb.h"
#include "server/access/new_token.h"
#include "tests/rpc/rpc_test_base.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

class AccessTest : public RpcTestBase {
 protected:
  AccessTest() { token_file_ = folder_.path() / "tokens.toml"; }

  // A file with the token "secret" of the user "trainer" and this role.
  void WriteToken(Role role, const std::string& more = "") {
    std::ofstream(token_file_) << TokenFileEntry("trainer", {role}, "secret") << more << "\n";
  }

  static std::unique_ptr<grpc::ClientContext> WithToken(const std::string& token = "secret") {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    context->AddMetadata("authorization", "Bearer " + token);
    return context;
  }

  // A pair whose call needs 2 * (prompt + 2) tokens.
  static v1::ScorePairsRequest Request(int num_prompt_tokens = 1) {
    v1::ScorePairsRequest request;
    *request.add_pairs() = IdPair(std::vector<std::uint32_t>(num_prompt_tokens, 5), {1}, {2});
    return request;
  }

  grpc::Status Score(const std::string& token, int num_prompt_tokens = 1) {
    v1::ScorePairsResponse response;
    return scoring_->ScorePairs(WithToken(token).get(), Request(num_prompt_tokens), &response);
  }

  testing::TempFolder folder_;
};

TEST_F(AccessTest, NoMethodAnswersWithoutAToken) {
  WriteToken(Role::kScore);
  Start();
  grpc::GenericStub stub(channel_);
  int num_methods = 0;
  for (const char* service_name : {v1::ScoringService::service_full_name(), v1::DiagnosticsService::service_full_name(),
                                   v1::ModelService::service_full_name()}) {
    const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service_name);
    ASSERT_NE(service, nullptr);
    for (int idx = 0; idx < service->method_count(); ++idx) {
      const auto* method = service->method(idx);
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
      grpc::ByteBuffer request, response;
      grpc::Slice empty;
      request = grpc::ByteBuffer(&empty, 1);
      grpc::Status status;
      absl::Notification done;
      stub.UnaryCall(&context, absl::StrCat("/", service_name, "/", method->name()), {}, &request, &response,
                     [&](grpc::Status result) {
                       status = result;
                       done.Notify();
                     });
      done.WaitForNotification();
      EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED) << method->full_name();
      EXPECT_EQ(DetailsOf(status).reason, "NO_VALID_TOKEN") << method->full_name();
      WaitUntil("the refusal is counted, which a stream's is once it has ended", [&] {
        return MetricValue("prefscore_requests_total", {{"method", method->name()}, {"code", "UNAUTHENTICATED"}}) == 1;
      });
      ++num_methods;
    }
  }
  constexpr int kNumAdminMethods = 3;  // on a listener of their own
  EXPECT_EQ(num_methods, std::size(kMethodNames) - kNumAdminMethods);
  EXPECT_EQ(MetricValue("prefscore_access_refusals_total", {{"reason", "no_token"}}), num_methods);
  WaitUntil("no stream is left", [&] { return MetricValue("prefscore_streams_in_flight") == 0; });
}

TEST_F(AccessTest, TokensAreAcceptedByTheirRole) {
  WriteToken(Role::kScore);
  Start();
  EXPECT_TRUE(Score("secret").ok());
  EXPECT_EQ(MetricValue("prefscore_token_requests_total", {{"token", "trainer"}}), 1);
  EXPECT_EQ(MetricValue("prefscore_token_charged_tokens_total", {{"token", "trainer"}}), 6);
  EXPECT_EQ(Score("wrong").error_code(), grpc::UNAUTHENTICATED);
  WriteToken(Role::kAdmin);
  ASSERT_TRUE(tokens_->Reload().ok());
  const grpc::Status status = Score("secret");
  EXPECT_EQ(status.error_code(), grpc::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), "this call needs the role 'score'; the token 'trainer' has: admin");
  EXPECT_EQ(DetailsOf(status).reason, "MISSING_ROLE");
}

TEST_F(AccessTest, TwoTokensAreNone) {
  WriteToken(Role::kScore);
  Start();
  const auto context = WithToken();
  context->AddMetadata("authorization", "Bearer secret");
  v1::ScorePairsResponse response;
  const grpc::Status status = scoring_->ScorePairs(context.get(), Request(), &response);
  EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED);
  EXPECT_THAT(status.error_message(), HasSubstr("'authorization' was sent 2 times"));
}

TEST_F(AccessTest, AStreamEndsWhenItsTokenIsTakenAway) {
  WriteToken(Role::kScore);
  Start();
  const auto context = WithToken();
  const auto stream = scoring_->StreamScorePairs(context.get());
  v1::StreamScorePairsRequest message;
  message.mutable_options();
  stream->Write(message);
  *message.mutable_pair() = IdPair({5}, {1}, {2});
  v1::StreamScorePairsResponse response;
  stream->Write(message);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_FALSE(response.result().has_status());
  std::ofstream(token_file_) << TokenFileEntry("other", {Role::kScore}, "another");
  ASSERT_TRUE(tokens_->Reload().ok());
  stream->Write(message);
  EXPECT_FALSE(stream->Read(&response));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::UNAUTHENTICATED);
  EXPECT_EQ(status.error_message(), "the token 'trainer' was taken out of this server's token file");
}

TEST_F(AccessTest, WhoIsOverQuotaIsToldWhenToComeAgainAndThenServed) {
  // 106 tokens, and 6 more, of a bucket of 50 that gets 100 a second.
  WriteToken(Role::kScore, "tokens_per_second = 100\nburst_tokens = 50");
  Start();
  EXPECT_TRUE(Score("secret", 51).ok()) << "larger than the burst";
  const grpc::Status status = Score("secret");
  ASSERT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("the token 'trainer' is over its quota tokens_per_second = 100"));
  const ErrorDetails details = DetailsOf(status);
  EXPECT_EQ(details.reason, "OVER_QUOTA");
  ASSERT_TRUE(details.retry_delay_seconds.has_value());
  EXPECT_LE(*details.retry_delay_seconds, 0.6);
  EXPECT_EQ(MetricValue("prefscore_quota_refusals_total", {{"token", "trainer"}, {"quota", "tokens_per_second"}}), 1);
  absl::SleepFor(absl::Seconds(*details.retry_delay_seconds));
  EXPECT_TRUE(Score("secret").ok());
  EXPECT_EQ(MetricValue("prefscore_token_charged_tokens_total", {{"token", "trainer"}}), 106 + 6);
}

TEST_F(AccessTest, TokensAtOnceAreLimited) {
  WriteToken(Role::kScore, "concurrent_tokens = 10");
  CloseGate();
  Start();
  v1::ScorePairsResponse response;
  const auto context = WithToken();
  const v1::ScorePairsRequest request = Request(100);
  absl::Notification done;
  scoring_->async()->ScorePairs(context.get(), &request, &response, [&](grpc::Status status) {
    EXPECT_TRUE(status.ok()) << status.error_message();
    done.Notify();
  });
  WaitUntil("it runs", [&] { return policy_->num_forwards() > 0; });
  const grpc::Status status = Score("secret");
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("over its quota concurrent_tokens = 10"));
  EXPECT_TRUE(DetailsOf(status).retry_delay_seconds.has_value());
  OpenGate();
  done.WaitForNotification();
  EXPECT_TRUE(Score("secret").ok());
}

TEST_F(AccessTest, WhatTheQueueRefusesIsNotCharged) {
  limits_.max_batch_tokens = 1;
  limits_.max_queued_tokens = 10;
  WriteToken(Role::kScore);
  CloseGate();
  Start();
  const v1::ScorePairsRequest request = Request();
  v1::ScorePairsResponse responses[2];
  std::unique_ptr<grpc::ClientContext> contexts[2] = {WithToken(), WithToken()};
  absl::Notification done[2];
  for (int call = 0; call < 2; ++call) {  // one runs, one waits
    scoring_->async()->ScorePairs(contexts[call].get(), &request, &responses[call],
                                  [&, call](grpc::Status) { done[call].Notify(); });
    if (call == 0) WaitUntil("it runs", [&] { return policy_->num_forwards() > 0; });
  }
  WaitUntil("one waits", [&] { return MetricValue("prefscore_queued_tokens", {{"priority", "interactive"}}) == 6; });
  EXPECT_EQ(Score("secret", 3).error_code(), grpc::RESOURCE_EXHAUSTED);
  OpenGate();
  for (auto& each : done) each.WaitForNotification();
  const double charged = MetricValue("prefscore_token_charged_tokens_total", {{"token", "trainer"}});
  EXPECT_EQ(charged, 2 * 6);
}

TEST_F(AccessTest, StreamsWaitForTheirQuota) {
  WriteToken(Role::kScore, "tokens_per_second = 60\nburst_tokens = 6");
  Start();
  const auto context = WithToken();
  const auto stream = scoring_->StreamScorePairs(context.get());
  v1::StreamScorePairsRequest message;
  message.mutable_options();
  stream->Write(message);
  *message.mutable_pair() = IdPair({5}, {1}, {2});
  constexpr int kNumPairs = 6;
  const absl::Time start = absl::Now();
  for (int pair = 0; pair < kNumPairs; ++pair) stream->Write(message);
  stream->WritesDone();
  v1::StreamScorePairsResponse response;
  int num_results = 0;
  while (stream->Read(&response)) num_results += !response.result().has_status();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(num_results, kNumPairs);
  // The first two are let in by what the bucket held; each later one waits for the one before to be paid.
  EXPECT_GE(absl::Now() - start, absl::Seconds(0.3)) << "a machine may be slow, not fast";
  EXPECT_EQ(MetricValue("prefscore_quota_refusals_total", {{"token", "trainer"}, {"quota", "tokens_per_second"}}), 0);
}

TEST_F(AccessTest, AnalysesWaitForTheirQuotaAndEndWhenCancelled) {
  WriteToken(Role::kScore, "tokens_per_second = 60\nburst_tokens = 6");
  Start();
  const auto stub = v1::DiagnosticsService::NewStub(channel_);
  const auto run = [&](int num_pairs, bool is_cancelled) {
    const auto context = WithToken();
    v1::AnalyzePairsResponse response;
    const auto stream = stub->AnalyzePairs(context.get(), &response);
    v1::AnalyzePairsRequest message;
    message.mutable_options()->mutable_scoring()->add_objectives()->set_name("sigmoid");
    stream->Write(message);
    message.Clear();
    *message.add_pairs() = IdPair({5}, {1}, {2});
    for (int pair = 0; pair < num_pairs; ++pair) stream->Write(message);
    if (is_cancelled) context->TryCancel();
    stream->WritesDone();
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(response.report().num_pairs(), is_cancelled ? 0 : num_pairs) << status.error_message();
    return status.error_code();
  };
  EXPECT_EQ(run(4, false), grpc::OK);
  EXPECT_EQ(run(1000, true), grpc::CANCELLED);
  WaitUntil("no stream is left", [&] { return MetricValue("prefscore_streams_in_flight") == 0; });
}

// Streams that are opened while their caller holds nothing, and so have each a read outstanding, then bring a pair of 6
// tokens each.
class ManyStreamsTest : public AccessTest {
 protected:
  static constexpr int kNumStreams = 6;

  ManyStreamsTest() {
    limits_.max_batch_tokens = 1;
    WriteToken(Role::kScore, "concurrent_tokens = 10");
    CloseGate();
    Start();
  }

  void ExpectThatNoOtherIsLetIn() {
    absl::SleepFor(kTravelTime);
    EXPECT_EQ(MetricValue("prefscore_queued_tokens", {{"priority", "bulk"}}), 0);
  }

  void ExpectThatTheCancelledIsGone() {
    WaitUntil("a stream that waits is gone", [&] { return MetricValue("prefscore_streams_in_flight") == kNumStreams - 1; });
    EXPECT_EQ(policy_->num_forwards(), 1);
  }
};

TEST_F(ManyStreamsTest, PairStreamsShareTheirQuota) {
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReaderWriter<v1::StreamScorePairsRequest, v1::StreamScorePairsResponse>>> streams;
  v1::StreamScorePairsRequest message;
  message.mutable_options();
  for (int idx = 0; idx < kNumStreams; ++idx) {
    contexts.push_back(WithToken());
    streams.push_back(scoring_->StreamScorePairs(contexts.back().get()));
    streams.back()->Write(message);
  }
  absl::SleepFor(kTravelTime);
  *message.mutable_pair() = IdPair({5}, {1}, {2});
  for (const auto& stream : streams) {
    stream->Write(message);
    WaitUntil("the first one's runs", [&] { return policy_->num_forwards() > 0; });
  }
  ExpectThatNoOtherIsLetIn();
  contexts.back()->TryCancel();
  EXPECT_EQ(streams.back()->Finish().error_code(), grpc::CANCELLED);
  ExpectThatTheCancelledIsGone();
  OpenGate();
  for (int idx = 0; idx + 1 < kNumStreams; ++idx) {
    v1::StreamScorePairsResponse response;
    EXPECT_TRUE(streams[idx]->Read(&response)) << idx;
    EXPECT_FALSE(response.result().has_status()) << response.result().status().message();
    streams[idx]->WritesDone();
    EXPECT_FALSE(streams[idx]->Read(&response));
    EXPECT_TRUE(streams[idx]->Finish().ok());
  }
}

TEST_F(ManyStreamsTest, AnalysesShareTheirQuota) {
  const auto stub = v1::DiagnosticsService::NewStub(channel_);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<v1::AnalyzePairsResponse> responses(kNumStreams);
  std::vector<std::unique_ptr<grpc::ClientWriter<v1::AnalyzePairsRequest>>> streams;
  v1::AnalyzePairsRequest message;
  message.mutable_options()->mutable_scoring()->add_objectives()->set_name("sigmoid");
  for (int idx = 0; idx < kNumStreams; ++idx) {
    contexts.push_back(WithToken());
    streams.push_back(stub->AnalyzePairs(contexts.back().get(), &responses[idx]));
    streams.back()->Write(message);
  }
  absl::SleepFor(kTravelTime);
  message.Clear();
  *message.add_pairs() = IdPair({5}, {1}, {2});
  for (const auto& stream : streams) {
    stream->Write(message);
    WaitUntil("the first one's runs", [&] { return policy_->num_forwards() > 0; });
  }
  ExpectThatNoOtherIsLetIn();
  contexts.back()->TryCancel();
  EXPECT_EQ(streams.back()->Finish().error_code(), grpc::CANCELLED);
  ExpectThatTheCancelledIsGone();
  OpenGate();
  for (int idx = 0; idx + 1 < kNumStreams; ++idx) {
    streams[idx]->WritesDone();
    EXPECT_TRUE(streams[idx]->Finish().ok());
    EXPECT_EQ(responses[idx].report().num_pairs(), 1);
  }
}

TEST_F(AccessTest, NothingIsLeftOfStreamsThatPaused) {
  WriteToken(Role::kScore, "tokens_per_second = 60\nburst_tokens = 1");
  Start();
  const std::string_view authorization[] = {"Bearer secret"};
  std::weak_ptr<const Token> held_by_streams = *tokens_->Authorize(authorization, Role::kScore);
  const auto diagnostics = v1::DiagnosticsService::NewStub(channel_);
  for (const bool is_cancelled : {false, true}) {
    EXPECT_TRUE(Score("secret", is_cancelled ? 1000 : 10).ok()) << "a debt of half a minute, or of a moment";
    const auto scoring_context = WithToken();
    const auto scoring = scoring_->StreamScorePairs(scoring_context.get());
    v1::StreamScorePairsRequest options;
    options.mutable_options();
    scoring->Write(options);
    const auto analysis_context = WithToken();
    v1::AnalyzePairsResponse report;
    const auto analysis = diagnostics->AnalyzePairs(analysis_context.get(), &report);
    v1::AnalyzePairsRequest analysis_options;
    analysis_options.mutable_options()->mutable_scoring()->add_objectives()->set_name("sigmoid");
    analysis->Write(analysis_options);
    if (is_cancelled) {
      absl::SleepFor(kTravelTime);
      scoring_context->TryCancel();
      analysis_context->TryCancel();
    }
    scoring->WritesDone();
    analysis->WritesDone();
    v1::StreamScorePairsResponse response;
    while (scoring->Read(&response)) continue;
    EXPECT_EQ(scoring->Finish().ok(), !is_cancelled);
    EXPECT_EQ(analysis->Finish().ok(), !is_cancelled);
  }
  std::ofstream(token_file_) << TokenFileEntry("other", {Role::kScore}, "another");
  ASSERT_TRUE(tokens_->Reload().ok());
  WaitUntil("nobody holds the token any more", [&] { return held_by_streams.expired(); });
}

TEST_F(AccessTest, AStreamThatPausesEndsWithTheServer) {
  WriteToken(Role::kScore, "tokens_per_second = 1\nburst_tokens = 1");
  Start();
  EXPECT_TRUE(Score("secret", 1000).ok()) << "a debt of half an hour";
  const auto context = WithToken();
  const auto stream = scoring_->StreamScorePairs(context.get());
  v1::StreamScorePairsRequest message;
  message.mutable_options();
  stream->Write(message);
  WaitUntil("the stream is open", [&] { return MetricValue("prefscore_streams_in_flight") == 1; });
  EXPECT_TRUE(server_->Drain({.delay = absl::ZeroDuration(), .grace = absl::Seconds(20)}).is_complete());
  v1::StreamScorePairsResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAVAILABLE);
}

}  // namespace
}  // namespace prefscore
