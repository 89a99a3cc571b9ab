// SPDX-License-Identifier: Apache-2.0
// A real server on a free port with fake models behind it, and a client's view of it.
#pragma once

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "prefscore/v1/models.grpc.pb.h"
#include "prefscore/v1/scoring.grpc.pb.h"
#include "server/cache/log_prob_cache.h"
#include "server/metrics/scorer_metrics.h"
#include "server/rpc/lifecycle.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"
#include "tests/testing/log_file.h"

namespace prefscore {

// Ample for a cancellation or the end of a deadline to reach the server, on a busy machine too.
constexpr absl::Duration kTravelTime = absl::Milliseconds(500);

// The details of an error, unpacked.
struct ErrorDetails {
  std::string field;  // of the BadRequest's only violation
  std::string reason;
  std::string resume_index;  // of a stream
  std::optional<double> retry_delay_seconds;
};

inline ErrorDetails DetailsOf(const google::rpc::Status& status) {
  ErrorDetails details;
  for (const auto& any : status.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (any.UnpackTo(&bad_request)) details.field = bad_request.field_violations(0).field();
    if (any.UnpackTo(&info) && info.domain() == "prefscore") {
      details.reason = info.reason();
      const auto resume_index = info.metadata().find("resume_index");
      if (resume_index != info.metadata().end()) details.resume_index = resume_index->second;
    }
    if (any.UnpackTo(&retry)) {
      details.retry_delay_seconds = retry.retry_delay().seconds() + 1e-9 * retry.retry_delay().nanos();
    }
  }
  return details;
}

inline ErrorDetails DetailsOf(const grpc::Status& status) {
  google::rpc::Status proto;
  EXPECT_TRUE(proto.ParseFromString(status.error_details()));
  return DetailsOf(proto);
}

// A pair of ids that scores.
inline v1::PreferencePair IdPair(std::vector<std::uint32_t> prompt, std::vector<std::uint32_t> chosen,
                                 std::vector<std::uint32_t> rejected) {
  v1::PreferencePair pair;
  pair.mutable_prompt()->mutable_token_ids()->mutable_ids()->Add(prompt.begin(), prompt.end());
  pair.mutable_chosen()->mutable_token_ids()->mutable_ids()->Add(chosen.begin(), chosen.end());
  pair.mutable_rejected()->mutable_token_ids()->mutable_ids()->Add(rejected.begin(), rejected.end());
  return pair;
}

inline v1::PreferencePair TextPair(const std::string& prompt, const std::string& chosen, const std::string& rejected) {
  v1::PreferencePair pair;
  pair.mutable_prompt()->set_text(prompt);
  pair.mutable_chosen()->set_text(chosen);
  pair.mutable_rejected()->set_text(rejected);
  return pair;
}

// Hosts "policy" and "reference" (one tokenizer), "foreign" (another tokenizer) and "bare" (none).
class RpcTestBase : public ::testing::Test {
 protected:
  ~RpcTestBase() override { StopServer(); }

  // Call before Start to change what is served.
  Limits limits_;
  std::int64_t max_pairs_per_stream_ = ServiceContext().max_pairs_per_stream;
  ConnectionTimes connection_;
  CallLogOptions call_log_;
  std::shared_ptr<testing::FakeModel> policy_ = std::make_shared<testing::FakeModel>("digest-policy", 0.25);
  std::shared_ptr<testing::FakeModel> reference_ = std::make_shared<testing::FakeModel>("digest-reference", 0.5);
  LogProbCache* cache_ = nullptr;  // outlives the server
  std::string token_file_;         // empty: everybody may call
  // Makes the policy wait until OpenGate.
  void CloseGate() { policy_->BlockOn(&gate_); }
  void OpenGate() {
    if (!gate_.HasBeenNotified()) gate_.Notify();
  }

  void Start() {
    const auto tokenizer = std::make_shared<testing::FakeTokenizer>("fingerprint");
    auto registry = ModelRegistry::Create(
        {{"policy", policy_, tokenizer},
         {"reference", reference_, tokenizer},
         {"foreign", std::make_shared<testing::FakeModel>("digest-foreign"),
          std::make_shared<testing::FakeTokenizer>("other-fingerprint")},
         {"bare", std::make_shared<testing::FakeModel>("digest-bare"), nullptr}},
        "policy", "reference");
    ASSERT_TRUE(registry.ok()) << registry.status();
    registry_ = std::make_unique<ModelRegistry>(*std::move(registry));
    metrics_ = std::make_unique<Metrics>(
        std::vector<std::string>(std::begin(kMethodNames), std::end(kMethodNames)),
        std::vector<std::string>(std::begin(kServiceNames), std::end(kServiceNames)));
    metrics_->SetModels(LabelsOf(*registry_));
    ScorerOptions options;
    options.scheduler = SchedulerOptionsOf(limits_);
    options.cache = cache_;
    ScorerObserver observer = CountInto(*metrics_);
    observer.scheduler.on_queue_changed = [this, count = observer.scheduler.on_queue_changed](auto priority, auto groups, auto tokens) {
      ++num_queue_changes_;
      count(priority, groups, tokens);
    };
    scorer_ = std::make_unique<Scorer>(options, observer);
    if (!token_file_.empty()) {
      auto tokens = TokenStore::Load(token_file_, metrics_->access().Observer());
      ASSERT_TRUE(tokens.ok()) << tokens.status();
      tokens_ = *std::move(tokens);
    }
    auto server = Server::Start({.address = "127.0.0.1:0", .has_reflection = true, .connection = connection_},
                                {.registry = registry_.get(),
                                 .scorer = scorer_.get(),
                                 .metrics = metrics_.get(),
                                 .logger = &logger_,
                                 .call_log = call_log_,
                                 .limits = limits_,
                                 .access = {tokens_.get()},
                                 .max_pairs_per_stream = max_pairs_per_stream_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", server_->port()),
                                         grpc::InsecureChannelCredentials(), arguments);
    scoring_ = v1::ScoringService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
  }

  void StopServer() {
    OpenGate();
    server_.reset();
    scorer_.reset();
  }

  grpc::Status ScorePairs(const v1::ScorePairsRequest& request, v1::ScorePairsResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(30)));
    return scoring_->ScorePairs(&context, request, response);
  }

  // Waits until `condition` holds; fails the test after 10 s.
  template <typename Condition>
  void WaitUntil(const std::string& what, Condition condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (!condition()) {
      ASSERT_LT(absl::Now(), deadline) << "waited in vain until " << what;
      absl::SleepFor(absl::Milliseconds(2));
    }
  }

  // With the gate closed and batches of one pair: until one pair runs and everything that was submitted, in so many
  // calls (unary) or pairs (streamed), has arrived.
  void WaitUntilSubmitted(int num_submissions) {
    WaitUntil("all is submitted", [&] { return num_queue_changes_ >= num_submissions + 1; });  // 1: the pair that runs
  }

  // Value of a series without buckets, as a scrape would show it; 0 where there is none.
  double MetricValue(const std::string& name, const std::map<std::string, std::string>& labels = {}) {
    for (const auto& family : metrics_->registry()->Collect()) {
      if (family.name != name) continue;
      for (const auto& metric : family.metric) {
        std::map<std::string, std::string> found;
        for (const auto& label : metric.label) found[label.name] = label.value;
        if (found != labels) continue;
        switch (family.type) {
          case prometheus::MetricType::Counter: return metric.counter.value;
          case prometheus::MetricType::Gauge: return metric.gauge.value;
          case prometheus::MetricType::Histogram: return static_cast<double>(metric.histogram.sample_count);
          default: return 0;
        }
      }
    }
    ADD_FAILURE() << "no series " << name;
    return 0;
  }

  absl::Notification gate_;
  std::atomic<int> num_queue_changes_{0};
  testing::LogFile log_;
  Logger logger_{log_.options()};
  std::unique_ptr<ModelRegistry> registry_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<TokenStore> tokens_;
  std::unique_ptr<Scorer> scorer_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ScoringService::Stub> scoring_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

}  // namespace prefscore
