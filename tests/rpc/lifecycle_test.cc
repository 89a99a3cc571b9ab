// SPDX-License-Identifier: Apache-2.0
// Health, reflection, drain, and a port that is in use.
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/rpc/rpc_test_base.h"

namespace prefscore {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using HealthResponse = grpc::health::v1::HealthCheckResponse;

// Ample, so that nothing is cut off.
constexpr DrainTimes kNoDelay = {absl::ZeroDuration(), absl::Minutes(5)};

class LifecycleTest : public RpcTestBase {
 protected:
  // NOT_SERVING as well where the service is unknown; `code` gets the difference.
  HealthResponse::ServingStatus Check(const std::string& service, grpc::StatusCode* code = nullptr) {
    auto stub = grpc::health::v1::Health::NewStub(channel_);
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    HealthResponse response;
    const grpc::Status status = stub->Check(&context, request, &response);
    if (code != nullptr) *code = status.error_code();
    return response.status();
  }
};

TEST_F(LifecycleTest, HealthIsPerServiceAndOverall) {
  Start();
  EXPECT_EQ(Check(""), HealthResponse::SERVING);
  EXPECT_EQ(Check("prefscore.v1.ScoringService"), HealthResponse::SERVING);
  EXPECT_EQ(Check("prefscore.v1.ModelService"), HealthResponse::SERVING);
  grpc::StatusCode code;
  Check("prefscore.v1.NoSuchService", &code);
  EXPECT_EQ(code, grpc::NOT_FOUND);
}

TEST_F(LifecycleTest, HealthIsThatOfTheDevice) {
  Start();
  const auto score = [this] {
    v1::ScorePairsRequest request;
    *request.add_pairs() = IdPair({5}, {1}, {2});
    v1::ScorePairsResponse response;
    EXPECT_TRUE(ScorePairs(request, &response).ok());
    return response.results(0).status().code();
  };
  policy_->FailWith(absl::InternalError("a kernel failed"));
  for (int batch = 0; batch < DeviceHealth::kFailedBatches; ++batch) {
    EXPECT_EQ(Check(""), HealthResponse::SERVING);
    EXPECT_EQ(score(), grpc::INTERNAL);
  }
  EXPECT_EQ(Check(""), HealthResponse::NOT_SERVING);
  EXPECT_EQ(Check("prefscore.v1.ScoringService"), HealthResponse::NOT_SERVING);
  EXPECT_EQ(Check("prefscore.v1.ModelService"), HealthResponse::SERVING);
  EXPECT_EQ(MetricValue("prefscore_serving", {{"grpc_service", "prefscore.v1.ScoringService"}}), 0);
  EXPECT_EQ(MetricValue("prefscore_serving", {{"grpc_service", "prefscore.v1.ModelService"}}), 1);
  policy_->FailWith(absl::OkStatus());
  EXPECT_EQ(score(), grpc::OK);
  EXPECT_EQ(Check(""), HealthResponse::SERVING);
  EXPECT_EQ(MetricValue("prefscore_serving", {{"grpc_service", "prefscore.v1.ScoringService"}}), 1);
  const std::vector<std::string> lines = log_.Lines();
  EXPECT_EQ(std::ranges::count_if(lines, [](const auto& line) { return line.find(" warning health is NOT_") != line.npos; }), 1);
  EXPECT_THAT(lines, Contains(HasSubstr(" info the device computes again")));
}

TEST_F(LifecycleTest, MetricsTellOfADrainedServerThatItDoesNotServe) {
  Start();
  for (const char* service : kServiceNames) EXPECT_EQ(MetricValue("prefscore_serving", {{"grpc_service", service}}), 1);
  EXPECT_TRUE(server_->Drain(kNoDelay).is_complete());
  for (const char* service : kServiceNames) EXPECT_EQ(MetricValue("prefscore_serving", {{"grpc_service", service}}), 0);
}

// The request is ServerReflectionRequest{list_services: "*"}; the names stand in the response's bytes.
TEST_F(LifecycleTest, ReflectionListsTheServices) {
  Start();
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto stream = stub.PrepareCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  stream->StartCall(nullptr);
  ASSERT_TRUE(next());
  grpc::Slice slice("\x3a\x01*");
  stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer response;
  stream->Read(&response, nullptr);
  ASSERT_TRUE(next());
  grpc::Slice bytes;
  ASSERT_TRUE(response.DumpToSingleSlice(&bytes).ok());
  const std::string names(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  for (const char* name : {"prefscore.v1.ScoringService", "prefscore.v1.ModelService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(names, HasSubstr(name));
  }
  context.TryCancel();
  grpc::Status status;
  stream->Finish(&status, nullptr);
  next();
}

TEST_F(LifecycleTest, APortInUseIsAnError) {
  Start();
  const std::string address = absl::StrCat("127.0.0.1:", server_->port());
  const auto second = Server::Start({.address = address}, {.registry = registry_.get(),
                                                               .scorer = scorer_.get(),
                                                               .metrics = metrics_.get(),
                                                               .logger = &logger_,
                                                               .limits = limits_});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("cannot listen on " + address));
  EXPECT_EQ(Check(""), HealthResponse::SERVING) << "the first server is unharmed";
}

TEST_F(LifecycleTest, DrainFinishesWhatWasAdmittedAndRefusesTheRest) {
  limits_.max_batch_tokens = 1;
  CloseGate();
  Start();
  v1::ScorePairsRequest request;
  for (int idx = 0; idx < 3; ++idx) *request.add_pairs() = IdPair({5}, {1}, {2});
  v1::ScorePairsResponse response;
  grpc::ClientContext context;
  grpc::Status admitted;
  absl::Notification done;
  scoring_->async()->ScorePairs(&context, &request, &response, [&](grpc::Status status) {
    admitted = status;
    done.Notify();
  });
  WaitUntil("the call is admitted", [&] { return policy_->num_forwards() > 0; });
  grpc::ClientContext idle_context;
  auto idle_stream = scoring_->StreamScorePairs(&idle_context);
  idle_stream->Write([] {
    v1::StreamScorePairsRequest options;
    options.mutable_options();
    return options;
  }());
  WaitUntil("the stream is open", [&] { return MetricValue("prefscore_streams_in_flight") == 1; });

  DrainReport report;
  std::thread drain([&] { report = server_->Drain(kNoDelay); });
  WaitUntil("health says so", [&] { return Check("") == HealthResponse::NOT_SERVING; });
  EXPECT_EQ(Check("prefscore.v1.ScoringService"), HealthResponse::NOT_SERVING);

  v1::StreamScorePairsResponse none;
  EXPECT_FALSE(idle_stream->Read(&none));
  const grpc::Status idle = idle_stream->Finish();
  EXPECT_EQ(idle.error_code(), grpc::UNAVAILABLE) << "an idle stream holds up nothing";
  EXPECT_TRUE(DetailsOf(idle).retry_delay_seconds.has_value());

  grpc::Status late;
  WaitUntil("new calls are refused", [&] {
    v1::ScorePairsRequest one;
    *one.add_pairs() = IdPair({5}, {1}, {2});
    v1::ScorePairsResponse ignored;
    grpc::ClientContext late_context;
    late_context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Milliseconds(200)));
    late = scoring_->ScorePairs(&late_context, one, &ignored);
    return late.error_code() == grpc::UNAVAILABLE;
  });
  EXPECT_EQ(DetailsOf(late).reason, "SHUTTING_DOWN");

  OpenGate();
  done.WaitForNotification();
  drain.join();
  EXPECT_TRUE(report.is_complete());
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "StreamScorePairs"}, {"code", "UNAVAILABLE"}}), 1);
  EXPECT_TRUE(admitted.ok()) << admitted.error_message();
  EXPECT_EQ(response.results_size(), 3);
  EXPECT_FALSE(response.results(2).has_status());
}

TEST_F(LifecycleTest, DrainAnswersWhatAStreamHasRead) {
  limits_.max_batch_tokens = 1;
  CloseGate();
  Start();
  grpc::ClientContext context;
  auto stream = scoring_->StreamScorePairs(&context);
  v1::StreamScorePairsRequest request;
  request.mutable_options();
  stream->Write(request);
  for (int idx = 0; idx < 3; ++idx) {
    *request.mutable_pair() = IdPair({5}, {1}, {2});
    stream->Write(request);
  }
  WaitUntilSubmitted(3);
  std::thread drain([&] { EXPECT_TRUE(server_->Drain(kNoDelay).is_complete()); });
  WaitUntil("health says so", [&] { return Check("") == HealthResponse::NOT_SERVING; });
  OpenGate();
  int num_results = 0;
  v1::StreamScorePairsResponse response;
  while (stream->Read(&response)) num_results += !response.result().has_status();
  EXPECT_EQ(num_results, 3);
  const grpc::Status end = stream->Finish();
  EXPECT_EQ(end.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(end).resume_index, "3");
  drain.join();
}

// A call that the model works on, and then one that waits for it.
class DrainCutShortTest : public LifecycleTest {
 protected:
  struct UnaryCall {
    grpc::ClientContext context;
    v1::ScorePairsRequest request;
    v1::ScorePairsResponse response;
    grpc::Status status;
    absl::Notification done;
  };

  DrainCutShortTest() {
    limits_.max_batch_tokens = 1;
    CloseGate();
    Start();
    Send(in_flight_);
    WaitUntil("the first call is in flight", [&] { return policy_->num_forwards() > 0; });
    Send(waiting_);
    WaitUntilSubmitted(2);
  }

  void Send(UnaryCall& call) {
    *call.request.add_pairs() = IdPair({5}, {1}, {2});
    scoring_->async()->ScorePairs(&call.context, &call.request, &call.response, [&call](grpc::Status status) {
      call.status = status;
      call.done.Notify();
    });
  }

  UnaryCall in_flight_, waiting_;
};

TEST_F(DrainCutShortTest, TheEndOfTheGraceRefusesWhatWaitsAndLeavesTheBatchInFlightTimeToEnd) {
  DrainReport report;
  std::thread drain([&] { report = server_->Drain({absl::ZeroDuration(), absl::Milliseconds(100)}); });
  waiting_.done.WaitForNotification();
  EXPECT_EQ(waiting_.status.error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(DetailsOf(waiting_.status).reason, "SHUTTING_DOWN");
  OpenGate();
  in_flight_.done.WaitForNotification();
  EXPECT_TRUE(in_flight_.status.ok()) << in_flight_.status.error_message();
  drain.join();
  EXPECT_EQ(report.num_not_computed, 1);
  EXPECT_EQ(report.num_not_answered, 0);
}

TEST_F(DrainCutShortTest, ABatchThatDoesNotEndIsNotWaitedForBeyondThatAndNamed) {
  const DrainReport report = server_->Drain({absl::ZeroDuration(), absl::ZeroDuration()});
  EXPECT_FALSE(in_flight_.done.HasBeenNotified());
  EXPECT_EQ(report.num_not_computed, 1);
  EXPECT_EQ(report.num_not_answered, 1);
  EXPECT_FALSE(report.is_complete());
  EXPECT_THAT(report.hung_batch, HasSubstr("a batch of 1 pairs or prompts, 6 tokens, under 'policy' and 'reference' has run"));
  OpenGate();
  in_flight_.done.WaitForNotification();
}

TEST_F(DrainCutShortTest, ABatchThatDoesNotEndIsNamedAlsoWhereItsClientIsGone) {
  in_flight_.context.TryCancel();
  waiting_.context.TryCancel();
  in_flight_.done.WaitForNotification();
  waiting_.done.WaitForNotification();
  EXPECT_NE(server_->Drain({absl::ZeroDuration(), absl::ZeroDuration()}).hung_batch, "");
}

TEST_F(DrainCutShortTest, AHurryEndsTheGrace) {
  DrainReport report;
  std::thread drain([&] { report = server_->Drain(kNoDelay); });
  WaitUntil("health says so", [&] { return Check("") == HealthResponse::NOT_SERVING; });
  EXPECT_FALSE(waiting_.done.HasBeenNotified());
  server_->HurryDrain();
  server_->HurryDrain();
  waiting_.done.WaitForNotification();
  EXPECT_EQ(waiting_.status.error_code(), grpc::UNAVAILABLE);
  OpenGate();
  in_flight_.done.WaitForNotification();
  EXPECT_TRUE(in_flight_.status.ok()) << in_flight_.status.error_message();
  drain.join();
  EXPECT_EQ(report.num_not_computed, 1);
}

TEST_F(LifecycleTest, WorkIsTakenUntilTheDelayIsOver) {
  Start();
  std::thread drain([&] { EXPECT_TRUE(server_->Drain({absl::Hours(1), absl::Hours(1)}).is_complete()); });
  WaitUntil("health says so", [&] { return Check("") == HealthResponse::NOT_SERVING; });
  v1::ScorePairsRequest request;
  *request.add_pairs() = IdPair({5}, {1}, {2});
  v1::ScorePairsResponse response;
  EXPECT_TRUE(ScorePairs(request, &response).ok());
  server_->HurryDrain();  // ends the delay
  drain.join();
}

TEST_F(LifecycleTest, AWatcherIsToldAndHoldsUpNoDrain) {
  Start();
  auto stub = grpc::health::v1::Health::NewStub(channel_);
  grpc::ClientContext context;
  auto watch = stub->Watch(&context, grpc::health::v1::HealthCheckRequest());
  HealthResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthResponse::SERVING);
  std::thread drain([&] { EXPECT_TRUE(server_->Drain({absl::ZeroDuration(), absl::Hours(1)}).is_complete()); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthResponse::NOT_SERVING);
  while (watch->Read(&response)) {
  }
  EXPECT_FALSE(watch->Finish().ok());
  drain.join();
}

}  // namespace
}  // namespace prefscore
