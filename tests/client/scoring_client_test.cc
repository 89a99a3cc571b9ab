// SPDX-License-Identifier: Apache-2.0
// The client over real connections, against the fake server.
#include "client/cpp/scoring_client.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_scoring_server.h"

namespace prefscore::client {
namespace {

using ::prefscore::testing::FakeScoringServer;

v1::PreferencePair Pair(int i) {
  v1::PreferencePair pair;
  pair.set_id(absl::StrCat("pair-", i));
  pair.mutable_prompt()->set_text("prompt");
  pair.mutable_chosen()->set_text(std::string(i % 7 + 1, 'c'));
  pair.mutable_rejected()->set_text(std::string(i % 5 + 1, 'r'));
  return pair;
}

class ScoringClientTest : public ::testing::Test {
 protected:
  std::unique_ptr<ScoringClient> Connect(absl::Duration timeout = absl::Seconds(20)) {
    ClientOptions options;
    options.timeout = timeout;
    options.retry.sleep = [this](absl::Duration delay) { sleeps_.push_back(delay); };
    return ScoringClient::Connect(server_.address(), options).value();
  }

  FakeScoringServer server_;
  std::vector<absl::Duration> sleeps_;
};

TEST_F(ScoringClientTest, UnaryCallsAreRetried) {
  server_.FailNext(absl::UnavailableError("restarting"));
  server_.FailNext(absl::ResourceExhaustedError("queue full"), absl::Milliseconds(1500));
  v1::ScorePairsRequest request;
  *request.add_pairs() = Pair(3);
  const auto response = Connect()->ScorePairs(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->results(0).id(), "pair-3");
  EXPECT_EQ(response->results(0).policy_chosen_logp(), -4);
  ASSERT_EQ(sleeps_.size(), 2);
  EXPECT_GE(sleeps_[1], absl::Milliseconds(1500));
  EXPECT_EQ(server_.NumCalls(), 3);
}

TEST_F(ScoringClientTest, AServerThatIsNotThereIsUnavailable) {
  ClientOptions options;
  options.retry.max_attempts = 2;
  options.retry.initial_backoff = absl::Milliseconds(1);
  const auto response = ScoringClient::Connect("127.0.0.1:1", options).value()->ListModels();
  EXPECT_TRUE(absl::IsUnavailable(response.status())) << response.status();
}

TEST_F(ScoringClientTest, UnimplementedMethodsAreFinal) {
  EXPECT_TRUE(absl::IsUnimplemented(Connect()->EvaluateObjectives({}).status()));
  EXPECT_TRUE(absl::IsUnimplemented(Connect()->GetModel("policy").status()));
}

TEST_F(ScoringClientTest, Health) {
  const auto client = Connect();
  EXPECT_TRUE(client->CheckHealth().ok());
  EXPECT_TRUE(absl::IsNotFound(client->CheckHealth("unknown")));
  server_.SetServing(false);
  EXPECT_EQ(client->CheckHealth(), absl::UnavailableError("NOT_SERVING"));
}

TEST_F(ScoringClientTest, AStreamOutlivesBrokenConnectionsAndLosesAndDoublesNothing) {
  constexpr int kNumPairs = 500;
  server_.FailNext(absl::UnavailableError("not yet"));
  server_.ScriptNextStream({});
  server_.ScriptNextStream({.num_results_before_death = 100, .group_size = 4});
  server_.ScriptNextStream({.num_results_before_death = 33, .group_size = 5});
  server_.ScriptNextStream({.num_results_before_death = 1});
  server_.ScriptNextStream({.num_unscored = 1});
  server_.ScriptNextStream({.group_size = 3});
  for (const bool in_order : {false, true}) {
    PairStreamOptions options;
    options.window = 16;
    options.in_order = in_order;
    options.retry.initial_backoff = absl::Milliseconds(1);
    std::map<std::string, int> num_results;
    std::vector<std::uint32_t> indexes;
    const auto stream = Connect()->OpenPairStream(options, [&](v1::PairResult result) {
      ++num_results[result.id()];
      indexes.push_back(result.index());
      const v1::PairResult expected = ::prefscore::testing::FakeResult(Pair(result.index()), {});
      EXPECT_EQ(result.policy_margin(), expected.policy_margin()) << result.id();
      EXPECT_EQ(result.id(), expected.id());
    });
    for (int i = 0; i < kNumPairs; ++i) ASSERT_TRUE(stream->Push(Pair(i)).ok());
    const absl::Status status = stream->Finish();
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(num_results.size(), kNumPairs);
    for (const auto& [id, count] : num_results) EXPECT_EQ(count, 1) << id;
    EXPECT_EQ(in_order, std::is_sorted(indexes.begin(), indexes.end()));
  }
  EXPECT_EQ(server_.NumStreams(), 7);  // six for the first round, whose scripts end there, and one
}

TEST_F(ScoringClientTest, AnotherModelAfterARestartIsRefused) {
  PairStreamOptions options;
  options.scoring.set_expected_policy_digest("policy-1");
  options.retry.initial_backoff = absl::Milliseconds(1);
  server_.ScriptNextStream({.num_results_before_death = 1});
  const auto stream = Connect()->OpenPairStream(options, [&](v1::PairResult) { server_.SetModelVersion("2"); });
  absl::Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = stream->Push(Pair(i));
  if (status.ok()) status = stream->Finish();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

}  // namespace
}  // namespace prefscore::client
