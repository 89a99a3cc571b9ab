// SPDX-License-Identifier: Apache-2.0
// StreamScorePairs over a real connection: protocol, window, ends of all kinds.
#include <algorithm>
#include <set>
#include <thread>

#include "tests/rpc/rpc_test_base.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

class PairStreamTest : public RpcTestBase {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::StreamScorePairsRequest, v1::StreamScorePairsResponse>;

  std::unique_ptr<Stream> Open(grpc::ClientContext& context, const v1::ScoringOptions& options = {}) {
    auto stream = scoring_->StreamScorePairs(&context);
    v1::StreamScorePairsRequest request;
    *request.mutable_options() = options;
    stream->Write(request);
    return stream;
  }

  static bool Send(Stream& stream, const v1::PreferencePair& pair) {
    v1::StreamScorePairsRequest request;
    *request.mutable_pair() = pair;
    return stream.Write(request);
  }

  static std::vector<v1::PairResult> ReadAll(Stream& stream) {
    std::vector<v1::PairResult> results;
    v1::StreamScorePairsResponse response;
    while (stream.Read(&response)) results.push_back(response.result());
    return results;
  }

  void WaitUntilClosed() {
    WaitUntil("the server has closed the stream", [&] { return MetricValue("prefscore_streams_in_flight") == 0; });
  }
};

TEST_F(PairStreamTest, EveryPairHasOneResultThatNamesIt) {
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  constexpr int kNumPairs = 1000;  // more than the window
  std::thread writer([&] {
    for (int idx = 0; idx < kNumPairs; ++idx) {
      v1::PreferencePair pair = IdPair({5}, {static_cast<std::uint32_t>(idx % 200)}, {2});
      pair.set_id(absl::StrCat("pair-", idx));
      EXPECT_TRUE(Send(*stream, pair));
    }
    stream->WritesDone();
  });
  const std::vector<v1::PairResult> results = ReadAll(*stream);
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(results.size(), kNumPairs);
  std::set<std::uint32_t> seen;
  for (const v1::PairResult& result : results) {
    EXPECT_TRUE(seen.insert(result.index()).second);
    EXPECT_EQ(result.id(), absl::StrCat("pair-", result.index()));
    EXPECT_EQ(result.policy_chosen_logp(), -0.25 * (result.index() % 200 + 1));
    EXPECT_EQ(result.policy_digest(), "digest-policy");
  }
  EXPECT_EQ(MetricValue("prefscore_pairs_scored_total"), kNumPairs);
  WaitUntilClosed();
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "StreamScorePairs"}, {"code", "OK"}}), 1);
}

TEST_F(PairStreamTest, ResultsComeBeforeTheStreamEnds) {
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  for (int idx = 0; idx < 3; ++idx) {
    ASSERT_TRUE(Send(*stream, IdPair({5}, {1}, {2})));
    v1::StreamScorePairsResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.result().index(), idx);
  }
  stream->WritesDone();
  EXPECT_TRUE(ReadAll(*stream).empty());
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(PairStreamTest, AFaultyPairIsAResultAndTheStreamGoesOn) {
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  v1::PreferencePair bad = IdPair({5}, {}, {2});
  bad.set_id("bad");
  Send(*stream, IdPair({5}, {1}, {2}));
  Send(*stream, bad);
  Send(*stream, TextPair("p", "\xff", "r"));
  Send(*stream, IdPair({5}, {999}, {2}));
  Send(*stream, IdPair({5}, {1}, {2}));
  stream->WritesDone();
  std::vector<v1::PairResult> results = ReadAll(*stream);
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(results.size(), 5);
  std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) { return a.index() < b.index(); });
  EXPECT_FALSE(results[0].has_status());
  EXPECT_FALSE(results[4].has_status());
  EXPECT_EQ(results[1].id(), "bad");
  EXPECT_EQ(DetailsOf(results[1].status()).field, "pair.chosen");
  EXPECT_EQ(DetailsOf(results[2].status()).field, "pair.chosen.text");
  EXPECT_EQ(DetailsOf(results[3].status()).field, "pair.chosen");
  EXPECT_EQ(MetricValue("prefscore_pairs_failed_total", {{"code", "INVALID_ARGUMENT"}}), 3);
}

TEST_F(PairStreamTest, OptionsComeFirstAndOnce) {
  Start();
  {
    grpc::ClientContext context;
    auto stream = scoring_->StreamScorePairs(&context);
    Send(*stream, IdPair({5}, {1}, {2}));
    EXPECT_TRUE(ReadAll(*stream).empty());
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(DetailsOf(status).field, "options");
  }
  {
    grpc::ClientContext context;
    auto stream = Open(context);
    Send(*stream, IdPair({5}, {1}, {2}));
    v1::StreamScorePairsRequest again;
    again.mutable_options();
    stream->Write(again);
    EXPECT_EQ(ReadAll(*stream).size(), 1) << "what was read before is answered";
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("sent twice"));
  }
  {
    grpc::ClientContext context;
    auto stream = scoring_->StreamScorePairs(&context);
    stream->Write(v1::StreamScorePairsRequest());
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(DetailsOf(status).field, "kind");
  }
  {
    grpc::ClientContext context;
    auto stream = scoring_->StreamScorePairs(&context);
    stream->WritesDone();
    const grpc::Status status = stream->Finish();
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("ended before its first message"));
  }
  WaitUntilClosed();
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "StreamScorePairs"}, {"code", "INVALID_ARGUMENT"}}), 4);
}

TEST_F(PairStreamTest, FaultyOptionsEndTheStream) {
  Start();
  grpc::ClientContext context;
  v1::ScoringOptions options;
  options.set_policy("nobody");
  auto stream = Open(context, options);
  EXPECT_TRUE(ReadAll(*stream).empty());
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("options.policy"));
}

// The server stops reading at the window; the client's writes then fill the transport's buffers and stop too.
TEST_F(PairStreamTest, HoldsNoMoreThanTheWindow) {
  limits_.max_stream_in_flight = 4;
  limits_.max_batch_tokens = 1;
  CloseGate();
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  for (int idx = 0; idx < 20; ++idx) ASSERT_TRUE(Send(*stream, IdPair({5}, {1}, {2})));
  stream->WritesDone();
  WaitUntilSubmitted(4);
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_EQ(num_queue_changes_, 4 + 1) << "a fifth pair was read";
  OpenGate();
  EXPECT_EQ(ReadAll(*stream).size(), 20);
  EXPECT_TRUE(stream->Finish().ok());
}

// Results that nobody takes count as in flight: a client that only writes cannot make the server hold its results.
TEST_F(PairStreamTest, EndsWhenItsPairsCannotBeCountedFurther) {
  EXPECT_EQ(max_pairs_per_stream_, std::int64_t{1} << 32) << "as many as a uint32 counts";
  max_pairs_per_stream_ = 3;
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  for (int idx = 0; idx < 4; ++idx) Send(*stream, IdPair({5}, {1}, {2}));
  EXPECT_EQ(ReadAll(*stream).size(), 3);
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "pair: is one too many; a stream has at most 3 pairs; send the rest in another");
  EXPECT_EQ(DetailsOf(status).resume_index, "3");
}

TEST_F(PairStreamTest, ReadsNoFurtherUntilResultsAreTaken) {
  limits_.max_stream_in_flight = 4;
  policy_->mutable_info().max_context_tokens = 50'000;
  reference_->mutable_info().max_context_tokens = 50'000;
  Start();
  grpc::ClientContext context;
  v1::ScoringOptions options;
  options.set_return_token_ids(true);  // results of 80 kB, which the transport's buffers hold few of
  auto stream = Open(context, options);
  constexpr int kNumPairs = 500;
  std::thread writer([&] {
    for (int idx = 0; idx < kNumPairs; ++idx) {
      Send(*stream, IdPair(std::vector<std::uint32_t>(40'000, 200), {1}, {2}));
    }
    stream->WritesDone();
  });
  double num_scored = -1;
  WaitUntil("scoring stops", [&] {
    const double before = num_scored;
    num_scored = MetricValue("prefscore_pairs_scored_total");
    absl::SleepFor(absl::Milliseconds(300));
    return num_scored > 0 && num_scored == before;
  });
  EXPECT_LT(num_scored, kNumPairs) << "the server went on without its results being read";
  EXPECT_EQ(ReadAll(*stream).size(), kNumPairs);
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(PairStreamTest, AFullQueueSlowsAStreamAndFailsNoPair) {
  limits_.max_queued_tokens = 1;
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  std::thread writer([&] {
    for (int idx = 0; idx < 100; ++idx) Send(*stream, IdPair({5}, {1}, {2}));
    stream->WritesDone();
  });
  const std::vector<v1::PairResult> results = ReadAll(*stream);
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  ASSERT_EQ(results.size(), 100);
  for (const v1::PairResult& result : results) EXPECT_FALSE(result.has_status());
}

TEST_F(PairStreamTest, ClientGoneMidStream) {
  limits_.max_batch_tokens = 1;
  CloseGate();
  Start();
  grpc::ClientContext context;
  auto stream = Open(context);
  for (int idx = 0; idx < 5; ++idx) Send(*stream, IdPair({5}, {1}, {2}));
  WaitUntilSubmitted(5);
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
  absl::SleepFor(kTravelTime);
  OpenGate();
  WaitUntilClosed();
  EXPECT_EQ(policy_->num_forwards(), 1) << "what was queued was dropped, not computed";
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "StreamScorePairs"}, {"code", "CANCELLED"}}), 1);
}

TEST_F(PairStreamTest, DeadlineEndsAnIdleStream) {
  Start();
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(100)));
  auto stream = Open(context);
  EXPECT_TRUE(ReadAll(*stream).empty());
  EXPECT_EQ(stream->Finish().error_code(), grpc::DEADLINE_EXCEEDED);
  WaitUntilClosed();
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "StreamScorePairs"}, {"code", "DEADLINE_EXCEEDED"}}), 1)
      << "it reaches the server as a cancellation, and counts as what the client saw";
}

TEST_F(PairStreamTest, ManyStreamsThatEndInAllWaysLeaveNothingBehind) {
  Start();
  std::vector<std::thread> clients;
  for (int client = 0; client < 8; ++client) {
    clients.emplace_back([this, client] {
      for (int round = 0; round < 10; ++round) {
        grpc::ClientContext context;
        auto stream = Open(context);
        const int num_pairs = (client * 7 + round * 3) % 40;
        for (int idx = 0; idx < num_pairs; ++idx) Send(*stream, IdPair({5}, {1}, {2}));
        if ((client + round) % 3 == 0) {
          context.TryCancel();
          stream->Finish();
          continue;
        }
        stream->WritesDone();
        EXPECT_EQ(ReadAll(*stream).size(), num_pairs);
        EXPECT_TRUE(stream->Finish().ok());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  WaitUntilClosed();
}

// A drain meets streams at every point of their lives; each ends once, with its results, a cancellation or UNAVAILABLE.
TEST_F(PairStreamTest, ADrainAmongStreamsThatEndLeavesNothingBehind) {
  Start();
  std::atomic<int> num_finished{0};
  std::vector<std::thread> clients;
  for (int client = 0; client < 6; ++client) {
    clients.emplace_back([this, client, &num_finished] {
      for (int round = 0;; ++round) {
        grpc::ClientContext context;
        context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
        auto stream = Open(context);
        for (int idx = 0; idx < (client + round) % 5; ++idx) Send(*stream, IdPair({5}, {1}, {2}));
        if ((client + round) % 4 == 0) context.TryCancel();
        stream->WritesDone();
        ReadAll(*stream);
        const grpc::Status status = stream->Finish();
        ++num_finished;
        if (status.error_code() == grpc::UNAVAILABLE) return;
        EXPECT_TRUE(status.ok() || status.error_code() == grpc::CANCELLED) << status.error_message();
      }
    });
  }
  WaitUntil("streams come and go", [&] { return num_finished > 30; });
  EXPECT_TRUE(server_->Drain({absl::ZeroDuration(), absl::Minutes(5)}).is_complete());
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(MetricValue("prefscore_streams_in_flight"), 0);
}

}  // namespace
}  // namespace prefscore
