// SPDX-License-Identifier: Apache-2.0
// What fails a unary call as a whole: its shape, its options, the queue, the deadline.
#include <grpcpp/generic/generic_stub.h>

#include "tests/rpc/rpc_test_base.h"

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CallErrorsTest : public RpcTestBase {
 protected:
  // A request of one good pair is refused with `code`, a violation of `field` (if not empty) and `part` in the message.
  void ExpectCallFault(const v1::ScoringOptions& options, grpc::StatusCode code, const std::string& field,
                       const std::string& part) {
    v1::ScorePairsRequest request;
    *request.add_pairs() = IdPair({5}, {1}, {2});
    *request.mutable_options() = options;
    v1::ScorePairsResponse response;
    const grpc::Status status = ScorePairs(request, &response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(part));
    EXPECT_EQ(DetailsOf(status).field, field);
    EXPECT_EQ(response.results_size(), 0);
    ExpectServerIsUp();
  }

  void ExpectServerIsUp() {
    v1::ScorePairsRequest request;
    *request.add_pairs() = IdPair({5}, {1}, {2});
    v1::ScorePairsResponse response;
    EXPECT_TRUE(ScorePairs(request, &response).ok());
  }

  static v1::ScoringOptions WithObjective(const std::string& name, std::optional<double> beta,
                                          std::optional<double> gamma) {
    v1::ScoringOptions options;
    options.add_objectives()->set_name("sigmoid");
    auto* objective = options.add_objectives();
    objective->set_name(name);
    if (beta) objective->set_beta(*beta);
    if (gamma) objective->set_gamma(*gamma);
    return options;
  }
};

TEST_F(CallErrorsTest, NumberOfPairs) {
  limits_.max_pairs_per_request = 2;
  Start();
  v1::ScorePairsRequest request;
  v1::ScorePairsResponse response;
  grpc::Status status = ScorePairs(request, &response);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).field, "pairs");
  EXPECT_THAT(status.error_message(), HasSubstr("0 entries"));
  for (int idx = 0; idx < 3; ++idx) *request.add_pairs() = IdPair({5}, {1}, {2});
  status = ScorePairs(request, &response);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).field, "pairs");
  EXPECT_THAT(status.error_message(), HasSubstr("3 entries; the limit is max_pairs_per_request = 2"));
  ExpectServerIsUp();
}

TEST_F(CallErrorsTest, UnknownModel) {
  Start();
  v1::ScoringOptions options;
  options.set_policy("nobody");
  ExpectCallFault(options, grpc::NOT_FOUND, "",
                  "options.policy: no model is named 'nobody'; hosted: policy, reference");
  options.set_policy("");
  options.set_reference(std::string(100000, 'n'));
  ExpectCallFault(options, grpc::NOT_FOUND, "", "options.reference: no model is named 'nnn");
}

TEST_F(CallErrorsTest, DigestMismatch) {
  Start();
  v1::ScoringOptions options;
  options.set_expected_policy_digest("digest-policy");
  options.set_expected_reference_digest("digest-of-yesterday");
  ExpectCallFault(options, grpc::FAILED_PRECONDITION, "",
                  "options.expected_reference_digest: is 'digest-of-yesterday', but the digest of model 'reference' is "
                  "'digest-reference'");
  options.set_expected_reference_digest("digest-reference");
  options.set_expected_policy_digest("x");
  ExpectCallFault(options, grpc::FAILED_PRECONDITION, "", "options.expected_policy_digest");
}

TEST_F(CallErrorsTest, Objectives) {
  limits_.max_objectives = 2;
  Start();
  const double nan = std::nan("");
  ExpectCallFault(WithObjective("sigmoid", 0.0, {}), grpc::INVALID_ARGUMENT, "options.objectives[1].beta",
                  "beta: is 0");
  ExpectCallFault(WithObjective("sigmoid", -1.0, {}), grpc::INVALID_ARGUMENT, "options.objectives[1].beta", "-1");
  ExpectCallFault(WithObjective("sigmoid", nan, {}), grpc::INVALID_ARGUMENT, "options.objectives[1].beta", "nan");
  ExpectCallFault(WithObjective("sigmoid", INFINITY, {}), grpc::INVALID_ARGUMENT, "options.objectives[1].beta", "inf");
  ExpectCallFault(WithObjective("sigmoid", 1.0, -0.5), grpc::INVALID_ARGUMENT, "options.objectives[1].gamma", "-0.5");
  ExpectCallFault(WithObjective("sigmoid", {}, nan), grpc::INVALID_ARGUMENT, "options.objectives[1].gamma", "nan");
  ExpectCallFault(WithObjective("sgmoid", {}, {}), grpc::INVALID_ARGUMENT, "options.objectives[1].name", "'sgmoid'");
  ExpectCallFault(WithObjective("", {}, {}), grpc::INVALID_ARGUMENT, "options.objectives[1].name", "sigmoid");
  v1::ScoringOptions options = WithObjective("sigmoid", {}, {});
  options.add_objectives()->set_name("sigmoid");
  ExpectCallFault(options, grpc::INVALID_ARGUMENT, "options.objectives", "3 entries; the limit is max_objectives = 2");
}

TEST_F(CallErrorsTest, ProfileTruncationAndLength) {
  Start();
  v1::ScoringOptions options;
  options.set_profile("hf");
  ExpectCallFault(options, grpc::INVALID_ARGUMENT, "options.profile", "'hf' is not one of: trl, ids");
  options.clear_profile();
  options.set_truncation_policy(static_cast<v1::TruncationPolicy>(77));
  ExpectCallFault(options, grpc::INVALID_ARGUMENT, "options.truncation_policy", "77");
  options.clear_truncation_policy();
  options.set_max_length(201);
  ExpectCallFault(options, grpc::INVALID_ARGUMENT, "options.max_length", "201 exceeds the 200 tokens");
}

TEST_F(CallErrorsTest, InvalidUtf8InTheOptions) {
  Start();
  v1::ScoringOptions options;
  options.set_policy("\xff");
  ExpectCallFault(options, grpc::INVALID_ARGUMENT, "options.policy", "not valid UTF-8");
}

TEST_F(CallErrorsTest, BytesThatAreNoRequest) {
  Start();
  grpc::GenericStub stub(channel_);
  for (const char* method : {"ScorePairs", "ScoreCompletions", "EvaluateObjectives"}) {
    grpc::Slice slice("\x0a\x05\xff");
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    grpc::ClientContext context;
    absl::Notification done;
    grpc::Status status;
    stub.UnaryCall(&context, absl::StrCat("/prefscore.v1.ScoringService/", method), {}, &request, &response,
                   [&](grpc::Status result) {
                     status = result;
                     done.Notify();
                   });
    done.WaitForNotification();
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), AllOf(HasSubstr("prefscore.v1."), HasSubstr(method)));
  }
  ExpectServerIsUp();
}

TEST_F(CallErrorsTest, MessageOverTheLimit) {
  limits_.max_message_bytes = 10'000;
  Start();
  v1::ScorePairsRequest request;
  *request.add_pairs() = TextPair("p", std::string(20'000, 'c'), "r");
  v1::ScorePairsResponse response;
  const grpc::Status status = ScorePairs(request, &response);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("vs. 10000"));
  ExpectServerIsUp();
}

TEST_F(CallErrorsTest, FullQueueTellsWhenToRetry) {
  limits_.max_queued_tokens = 100;
  limits_.max_batch_tokens = 10;
  CloseGate();
  Start();
  // Two calls: one that runs, one that fills the queue.
  v1::ScorePairsRequest request;
  *request.add_pairs() = IdPair({5}, std::vector<std::uint32_t>(30, 1), std::vector<std::uint32_t>(15, 2));
  v1::ScorePairsResponse responses[2];
  grpc::ClientContext contexts[2];
  absl::Notification done[2];
  const auto call = [&](int idx) {
    scoring_->async()->ScorePairs(&contexts[idx], &request, &responses[idx], [&done, idx](grpc::Status status) {
      EXPECT_TRUE(status.ok()) << status.error_message();
      done[idx].Notify();
    });
  };
  call(0);
  WaitUntil("the first call runs", [&] { return policy_->num_forwards() + reference_->num_forwards() > 0; });
  call(1);
  WaitUntilSubmitted(2);

  v1::ScorePairsResponse refused;
  const grpc::Status status = ScorePairs(request, &refused);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("max_queued_tokens = 100"));
  EXPECT_EQ(DetailsOf(status).reason, "QUEUE_FULL");
  ASSERT_TRUE(DetailsOf(status).retry_delay_seconds.has_value());
  EXPECT_GE(*DetailsOf(status).retry_delay_seconds, 0.1);
  EXPECT_LE(*DetailsOf(status).retry_delay_seconds, 60);
  OpenGate();
  for (auto& each : done) each.WaitForNotification();
  ExpectServerIsUp();
}

TEST_F(CallErrorsTest, DeadlineInTheQueue) {
  limits_.max_batch_tokens = 1;
  CloseGate();
  Start();
  v1::ScorePairsRequest request;
  *request.add_pairs() = IdPair({5}, {1}, {2});
  v1::ScorePairsResponse first_response;
  grpc::ClientContext first_context;
  absl::Notification first_done;
  scoring_->async()->ScorePairs(&first_context, &request, &first_response, [&](grpc::Status) { first_done.Notify(); });
  WaitUntil("the first call runs", [&] { return policy_->num_forwards() > 0; });

  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(100)));
  v1::ScorePairsResponse response;
  EXPECT_EQ(scoring_->ScorePairs(&context, request, &response).error_code(), grpc::DEADLINE_EXCEEDED);
  absl::SleepFor(kTravelTime);
  OpenGate();
  first_done.WaitForNotification();
  ExpectServerIsUp();
  EXPECT_EQ(policy_->num_forwards(), 2) << "the expired pair was dropped, not computed";
}

TEST_F(CallErrorsTest, ClientGoneMidCall) {
  limits_.max_batch_tokens = 1;
  CloseGate();
  Start();
  v1::ScorePairsRequest request;
  for (int idx = 0; idx < 5; ++idx) *request.add_pairs() = IdPair({5}, {1}, {2});
  v1::ScorePairsResponse response;
  grpc::ClientContext context;
  absl::Notification done;
  scoring_->async()->ScorePairs(&context, &request, &response, [&](grpc::Status status) {
    EXPECT_EQ(status.error_code(), grpc::CANCELLED);
    done.Notify();
  });
  WaitUntil("the call runs", [&] { return policy_->num_forwards() > 0; });
  context.TryCancel();
  done.WaitForNotification();
  absl::SleepFor(kTravelTime);
  OpenGate();
  const std::map<std::string, std::string> cancelled = {{"method", "ScorePairs"}, {"code", "CANCELLED"}};
  WaitUntil("the server has ended the call", [&] { return MetricValue("prefscore_requests_total", cancelled) == 1; });
  EXPECT_EQ(policy_->num_forwards(), 1) << "what was queued was dropped, not computed";
  ExpectServerIsUp();
}

}  // namespace
}  // namespace prefscore
