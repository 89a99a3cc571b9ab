// SPDX-License-Identifier: Apache-2.0
// AnalyzePairs over a real connection with fake models: what the stream takes, refuses, survives and reports.
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "prefscore/v1/diagnostics.grpc.pb.h"
#include "server/report_html/report_html.h"
#include "tests/rpc/rpc_test_base.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

class AnalyzePairsTest : public RpcTestBase {
 protected:
  using Request = v1::AnalyzePairsRequest;

  static v1::PairLogProbs LogProbs(double policy_chosen, double policy_rejected, double reference_chosen,
                                   double reference_rejected, const std::string& id = "") {
    v1::PairLogProbs pair;
    pair.set_id(id);
    pair.mutable_logps()->set_policy_chosen_logp(policy_chosen);
    pair.mutable_logps()->set_policy_rejected_logp(policy_rejected);
    pair.mutable_logps()->set_reference_chosen_logp(reference_chosen);
    pair.mutable_logps()->set_reference_rejected_logp(reference_rejected);
    return pair;
  }

  static Request WithOptions(v1::AnalysisOptions options = {}) {
    Request request;
    *request.mutable_options() = std::move(options);
    return request;
  }

  // Sends the messages and reads the answer. A write that fails is no failure here: the status tells.
  grpc::Status Analyze(const std::vector<Request>& requests, v1::AnalysisReport* report = nullptr) {
    v1::AnalyzePairsResponse response;
    const grpc::Status status = Answer(requests, response);
    if (report != nullptr) *report = response.report();
    return status;
  }

  grpc::Status Answer(const std::vector<Request>& requests, v1::AnalyzePairsResponse& response) {
    auto stub = v1::DiagnosticsService::NewStub(channel_);
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    auto writer = stub->AnalyzePairs(&context, &response);
    for (const Request& request : requests) {
      if (!writer->Write(request)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }

  void ExpectFault(const std::vector<Request>& requests, const std::string& field, const std::string& part) {
    const grpc::Status status = Analyze(requests);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(DetailsOf(status).field, field);
    EXPECT_THAT(status.error_message(), HasSubstr(part));
  }
};

TEST_F(AnalyzePairsTest, ScoredAndKnownPairsGiveOneReport) {
  Start();
  Request first = WithOptions();
  *first.add_logps() = LogProbs(-2, -1, -4, -3, "known");
  first.mutable_logps(0)->set_policy_digest("elsewhere");
  (*first.mutable_logps(0)->mutable_labels())["source"] = "a";
  Request second;
  *second.add_pairs() = IdPair({5}, {3}, {9});  // policy -1 and -2.5, reference -2 and -5
  second.mutable_pairs(0)->set_id("scored");
  v1::AnalysisReport report;
  const grpc::Status status = Analyze({first, second}, &report);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(report.num_pairs(), 2);
  ASSERT_EQ(report.slices_size(), 2);
  const v1::SliceReport& overall = report.slices(0);
  EXPECT_EQ(overall.ranking().policy_accuracy(), 0.5);
  EXPECT_EQ(overall.ranking().reference_accuracy(), 0.5);
  ASSERT_EQ(overall.most_negative_margins_size(), 1);
  EXPECT_EQ(overall.most_negative_margins(0).id(), "known");
  ASSERT_EQ(overall.objectives_size(), 1);
  EXPECT_EQ(overall.objectives(0).label(), "sigmoid:beta=0.1,gamma=0.1");
  EXPECT_EQ(overall.objectives(0).sweep_size(), 100);
  EXPECT_EQ(report.slices(1).label_name(), "source");
  EXPECT_EQ(report.slices(1).num_pairs(), 1);
  EXPECT_THAT(report.policy_digests(), ::testing::ElementsAre("digest-policy", "elsewhere"));
  EXPECT_THAT(report.reference_digests(), ::testing::ElementsAre("digest-reference"));
  EXPECT_EQ(report.options().learning_threshold(), 0.05);
  EXPECT_EQ(report.options().scoring().policy(), "policy");
  EXPECT_EQ(MetricValue("prefscore_pairs_scored_total"), 1);
  WaitUntil("the call is counted", [&] {
    return MetricValue("prefscore_requests_total", {{"method", "AnalyzePairs"}, {"code", "OK"}}) == 1;
  });
}

TEST_F(AnalyzePairsTest, ThePageIsDrawnWhereItIsAskedFor) {
  Start();
  Request request = WithOptions();
  *request.add_logps() = LogProbs(-2, -1, -4, -3, "<known>");
  Request more;
  *more.add_logps() = LogProbs(-1, -2, -4, -3);
  v1::AnalyzePairsResponse plain, drawn;
  ASSERT_TRUE(Answer({request, more}, plain).ok());
  request.set_return_html(true);
  ASSERT_TRUE(Answer({request, more}, drawn).ok());
  EXPECT_EQ(plain.html(), "");
  EXPECT_EQ(plain.report().SerializeAsString(), drawn.report().SerializeAsString());
  EXPECT_EQ(drawn.html(), report_html::ReportHtml(drawn.report(), {}));
  EXPECT_THAT(drawn.html(), HasSubstr("&lt;known&gt;"));
}

TEST_F(AnalyzePairsTest, NothingToAnalyseIsAnEmptyReport) {
  Start();
  v1::AnalysisReport report;
  ASSERT_TRUE(Analyze({WithOptions()}, &report).ok());
  EXPECT_EQ(report.num_pairs(), 0);
  ASSERT_EQ(report.slices_size(), 1);
  EXPECT_EQ(report.slices(0).objectives(0).mean_loss(), 0);
}

TEST_F(AnalyzePairsTest, TheFirstFaultEndsTheCallUnlessTheyAreSkipped) {
  Start();
  Request request = WithOptions();
  *request.add_logps() = LogProbs(-1, -2, -4, -3, "good");
  *request.add_logps() = LogProbs(-1, 2, -4, -3, "positive");
  *request.add_logps() = LogProbs(-1, std::nan(""), -4, -3, "nan");
  *request.add_pairs() = IdPair({5}, {3}, {300});
  request.mutable_pairs(0)->set_id("outside");
  ExpectFault({request}, "logps[1].logps.policy_rejected_logp", "is 2");
  request.mutable_options()->set_skip_faulty_pairs(true);
  v1::AnalysisReport report;
  const grpc::Status status = Analyze({request}, &report);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(report.num_pairs(), 1);
  EXPECT_EQ(report.num_faulty_pairs(), 3);
  EXPECT_EQ(report.num_non_finite_pairs(), 1);
  ASSERT_EQ(report.faulty_pairs_size(), 3);
  EXPECT_EQ(report.faulty_pairs(0).id(), "nan");
  EXPECT_EQ(report.faulty_pairs(1).id(), "outside");
  EXPECT_THAT(report.faulty_pairs(1).message(), HasSubstr("token id 300"));
  EXPECT_EQ(MetricValue("prefscore_pairs_failed_total", {{"code", "INVALID_ARGUMENT"}}), 1)
      << "log-probs are not there to be scored, so that the faults of them are not counted either";
  EXPECT_EQ(MetricValue("prefscore_pairs_scored_total"), 0);
}

TEST_F(AnalyzePairsTest, AFaultyPairIsNamedByItsPlaceInTheStream) {
  Start();
  const std::string no_text = "\xff";
  Request first = WithOptions(), second;
  for (int i = 0; i < 3; ++i) *first.add_pairs() = IdPair({5}, {3}, {9});
  for (int i = 0; i < 2; ++i) *first.add_logps() = LogProbs(-1, -2, -4, -3);
  *second.add_pairs() = IdPair({5}, {3}, {9});
  Request unknown_id = second, unscored = second, known = second, text = second, known_text = second;
  *unknown_id.add_pairs() = IdPair({5}, {3}, {300});
  ExpectFault({first, unknown_id}, "pairs[4].rejected", "token id 300");
  *unscored.add_pairs() = IdPair({5}, {3}, std::vector<std::uint32_t>(10'000, 9));
  ExpectFault({first, unscored}, "pairs[4].rejected", "tokens");
  *known.add_logps() = LogProbs(-1, 2, -4, -3);
  ExpectFault({first, known}, "logps[2].logps.policy_rejected_logp", "is 2");
  text.add_pairs()->mutable_chosen()->set_text("a");
  text.mutable_pairs(1)->mutable_rejected()->set_text("b");
  text.mutable_pairs(1)->mutable_prompt()->set_text(no_text);
  ExpectFault({first, text}, "pairs[4].prompt.text", "not valid UTF-8");
  *known_text.add_logps() = LogProbs(-1, -2, -4, -3, no_text);
  ExpectFault({first, known_text}, "logps[2].id", "not valid UTF-8");

  Request skips = WithOptions();
  skips.mutable_options()->set_skip_faulty_pairs(true);
  v1::AnalysisReport report;
  const grpc::Status status = Analyze({skips, text}, &report);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(report.faulty_pairs_size(), 1);
  EXPECT_EQ(report.faulty_pairs(0).message(), "prompt.text: is not valid UTF-8");
}

TEST_F(AnalyzePairsTest, WhatIsWrongWithTheCallIsNamed) {
  limits_.max_pairs_per_request = 3;
  Start();
  ExpectFault({}, "options", "ended before its first message");
  Request without_options;
  *without_options.add_logps() = LogProbs(-1, -2, -4, -3);
  ExpectFault({without_options}, "options", "first message");
  ExpectFault({WithOptions(), WithOptions()}, "options", "twice");
  Request many = WithOptions();
  for (int i = 0; i < 4; ++i) *many.add_logps() = LogProbs(-1, -2, -4, -3);
  ExpectFault({many}, "pairs", "max_pairs_per_request = 3");

  v1::AnalysisOptions options;
  options.mutable_scoring()->add_objectives()->set_name("aot");
  ExpectFault({WithOptions(options)}, "options.scoring.objectives[0]", "aot");
  options.Clear();
  options.mutable_sweep()->add_betas(0);
  options.mutable_sweep()->add_gamma_over_betas(1);
  ExpectFault({WithOptions(options)}, "options.sweep.betas[0]", "> 0");
  options.Clear();
  options.set_learning_threshold(1.5);
  ExpectFault({WithOptions(options)}, "options.learning_threshold", "1.5");
  options.Clear();
  options.mutable_scoring()->set_policy("nobody");
  EXPECT_EQ(Analyze({WithOptions(options)}).error_code(), grpc::NOT_FOUND);
  options.Clear();
  options.mutable_scoring()->set_expected_policy_digest("other");
  EXPECT_EQ(Analyze({WithOptions(options)}).error_code(), grpc::FAILED_PRECONDITION);
}

TEST_F(AnalyzePairsTest, ACancelledCallIsLetGo) {
  Start();
  {
    auto stub = v1::DiagnosticsService::NewStub(channel_);
    grpc::ClientContext context;
    v1::AnalyzePairsResponse response;
    auto writer = stub->AnalyzePairs(&context, &response);
    ASSERT_TRUE(writer->Write(WithOptions()));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::CANCELLED);
  }
  WaitUntil("the stream is gone", [&] { return MetricValue("prefscore_streams_in_flight") == 0; });
}

TEST_F(AnalyzePairsTest, ADrainEndsOpenCallsAtOnce) {
  Start();
  auto stub = v1::DiagnosticsService::NewStub(channel_);
  grpc::ClientContext context;
  v1::AnalyzePairsResponse response;
  auto writer = stub->AnalyzePairs(&context, &response);
  Request request = WithOptions();
  *request.add_logps() = LogProbs(-1, -2, -4, -3);
  ASSERT_TRUE(writer->Write(request));
  WaitUntil("the stream is open", [&] { return MetricValue("prefscore_streams_in_flight") == 1; });
  const absl::Time start = absl::Now();
  EXPECT_TRUE(server_->Drain({absl::ZeroDuration(), absl::Minutes(5)}).is_complete());
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_EQ(writer->Finish().error_code(), grpc::UNAVAILABLE);
}

TEST_F(AnalyzePairsTest, ManyCallsAtOnce) {
  Start();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([this] {
      std::vector<Request> requests = {WithOptions()};
      for (int message = 0; message < 10; ++message) {
        Request& request = requests.emplace_back();
        for (int i = 0; i < 20; ++i) *request.add_pairs() = IdPair({5}, {static_cast<std::uint32_t>(i)}, {7});
        for (int i = 0; i < 20; ++i) *request.add_logps() = LogProbs(-i, -2, -4, -3);
      }
      v1::AnalysisReport report;
      const grpc::Status status = Analyze(requests, &report);
      EXPECT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(report.num_pairs(), 400);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace prefscore
