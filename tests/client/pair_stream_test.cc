// SPDX-License-Identifier: Apache-2.0
// PairStream against scripted connections, without a network.
#include "client/cpp/pair_stream.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace prefscore::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One call: what is written can be looked at, results are sent when the test says so.
class ScriptedConnection : public PairConnection {
 public:
  bool Write(const v1::StreamScorePairsRequest& request) override {
    std::unique_lock lock(mutex_);
    if (ended_) return false;
    requests_.push_back(request);
    changed_.notify_all();
    return true;
  }

  void WritesDone() override {
    std::unique_lock lock(mutex_);
    writes_done_ = true;
    changed_.notify_all();
  }

  bool Read(v1::StreamScorePairsResponse* response) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_ || !responses_.empty(); });
    if (responses_.empty()) return false;
    *response = responses_.front();
    responses_.pop_front();
    return true;
  }

  CallError Finish() override {
    std::unique_lock lock(mutex_);
    return end_;
  }

  void Cancel() override { End({absl::CancelledError("cancelled")}); }

  // --- the test's side ---

  void End(CallError end) {
    std::unique_lock lock(mutex_);
    if (ended_) return;
    ended_ = true;
    end_ = std::move(end);
    changed_.notify_all();
  }

  void Answer(std::uint32_t index, absl::StatusCode code = absl::StatusCode::kOk) {
    std::unique_lock lock(mutex_);
    v1::PairResult& result = *responses_.emplace_back().mutable_result();
    result.set_index(index);
    if (index + 1 < requests_.size()) result.set_id(requests_[index + 1].pair().id());
    if (code != absl::StatusCode::kOk) result.mutable_status()->set_code(static_cast<int>(code));
    changed_.notify_all();
  }

  // Waits until `count` pairs are written, and returns their ids.
  std::vector<std::string> WaitForPairs(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return requests_.size() >= count + 1; });
    std::vector<std::string> ids;
    for (std::size_t i = 1; i < requests_.size(); ++i) ids.push_back(requests_[i].pair().id());
    return ids;
  }

  v1::StreamScorePairsRequest FirstRequest() {
    std::unique_lock lock(mutex_);
    return requests_.at(0);
  }

  void WaitForWritesDone() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return writes_done_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::StreamScorePairsRequest> requests_;
  std::deque<v1::StreamScorePairsResponse> responses_;
  bool writes_done_ = false;
  bool ended_ = false;
  CallError end_;
};

// Makes the connections and keeps them for the test.
class Connections {
 public:
  PairStream::Connect Factory() {
    return [this] {
      std::unique_lock lock(mutex_);
      changed_.notify_all();
      return connections_.emplace_back(std::make_shared<ScriptedConnection>());
    };
  }

  ScriptedConnection& Get(std::size_t i) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return connections_.size() > i; });
    return *connections_[i];
  }

  std::size_t count() {
    std::unique_lock lock(mutex_);
    return connections_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<ScriptedConnection>> connections_;
};

v1::PreferencePair Pair(const std::string& id) {
  v1::PreferencePair pair;
  pair.set_id(id);
  return pair;
}

class PairStreamTest : public ::testing::Test {
 protected:
  PairStreamTest() {
    options_.retry.sleep = [this](absl::Duration delay) { sleeps_.push_back(delay); };
    options_.retry.random = [] { return 0.5; };
  }

  std::unique_ptr<PairStream> Open() {
    return std::make_unique<PairStream>(connections_.Factory(), options_, [this](v1::PairResult result) {
      std::unique_lock lock(mutex_);
      results_.push_back(std::move(result));
      changed_.notify_all();
    });
  }

  void WaitForResults(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return results_.size() >= count; });
  }

  std::vector<std::string> ResultIds() {
    std::unique_lock lock(mutex_);
    std::vector<std::string> ids;
    for (const auto& result : results_) ids.push_back(result.id());
    return ids;
  }

  Connections connections_;
  PairStreamOptions options_;
  std::vector<absl::Duration> sleeps_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<v1::PairResult> results_;
};

TEST_F(PairStreamTest, OptionsGoFirstAndResultsComeBack) {
  options_.scoring.set_policy("p");
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  ASSERT_TRUE(stream->Push(Pair("b")).ok());
  ScriptedConnection& connection = connections_.Get(0);
  EXPECT_THAT(connection.WaitForPairs(2), ElementsAre("a", "b"));
  EXPECT_EQ(connection.FirstRequest().options().policy(), "p");
  connection.Answer(1);
  connection.Answer(0);
  std::thread server([&] {
    connection.WaitForWritesDone();
    connection.End({});
  });
  EXPECT_TRUE(stream->Finish().ok());
  server.join();
  EXPECT_THAT(ResultIds(), ElementsAre("b", "a"));  // as they finish
  EXPECT_EQ(results_[0].index(), 1);
}

TEST_F(PairStreamTest, NothingPushedMakesNoConnection) {
  auto stream = Open();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(connections_.count(), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(stream->Push(Pair("late"))));
}

TEST_F(PairStreamTest, PushWaitsWhileTheWindowIsFull) {
  options_.window = 2;
  auto stream = Open();
  std::atomic<int> num_pushed = 0;
  std::thread pusher([&] {
    for (const char* id : {"a", "b", "c", "d"}) {
      ASSERT_TRUE(stream->Push(Pair(id)).ok());
      ++num_pushed;
    }
  });
  ScriptedConnection& connection = connections_.Get(0);
  EXPECT_THAT(connection.WaitForPairs(2), ElementsAre("a", "b"));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // time to do wrong
  EXPECT_EQ(num_pushed, 2);
  connection.Answer(0);
  EXPECT_THAT(connection.WaitForPairs(3), ElementsAre("a", "b", "c"));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(num_pushed, 3);
  connection.Answer(1);
  pusher.join();
  EXPECT_EQ(num_pushed, 4);
}

TEST_F(PairStreamTest, InOrderHoldsResultsBackAndCountsThemInTheWindow) {
  options_.window = 3;
  options_.in_order = true;
  auto stream = Open();
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(stream->Push(Pair(id)).ok());
  ScriptedConnection& connection = connections_.Get(0);
  connection.WaitForPairs(3);
  connection.Answer(2);
  connection.Answer(1);
  std::atomic<bool> has_room = false;
  std::thread pusher([&] {
    EXPECT_TRUE(stream->Push(Pair("d")).ok());
    has_room = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(has_room);
  EXPECT_TRUE(ResultIds().empty());
  connection.Answer(0);
  pusher.join();
  WaitForResults(3);
  EXPECT_THAT(ResultIds(), ElementsAre("a", "b", "c"));
}

TEST_F(PairStreamTest, ABrokenCallIsMadeAgainForWhatHasNoResult) {
  auto stream = Open();
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(stream->Push(Pair(id)).ok());
  ScriptedConnection& first = connections_.Get(0);
  first.WaitForPairs(4);
  first.Answer(1);
  first.Answer(3);
  WaitForResults(2);
  first.End({absl::UnavailableError("gone")});

  ScriptedConnection& second = connections_.Get(1);
  EXPECT_THAT(second.WaitForPairs(2), ElementsAre("a", "c"));
  ASSERT_TRUE(stream->Push(Pair("e")).ok());
  second.WaitForPairs(3);
  for (const int index : {2, 1, 0}) second.Answer(index);
  std::thread server([&] {
    second.WaitForWritesDone();
    second.End({});
  });
  EXPECT_TRUE(stream->Finish().ok());
  server.join();
  EXPECT_THAT(ResultIds(), ElementsAre("b", "d", "e", "c", "a"));
  std::vector<int> indexes;
  for (const auto& result : results_) indexes.push_back(result.index());
  EXPECT_THAT(indexes, ElementsAre(1, 3, 4, 2, 0));
  EXPECT_THAT(sleeps_, ElementsAre(absl::Milliseconds(200)));
}

TEST_F(PairStreamTest, AttemptsAreCountedFromTheLastResult) {
  options_.retry.max_attempts = 2;
  auto stream = Open();
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(stream->Push(Pair(id)).ok());
  for (int i = 0; i < 2; ++i) {  // each time one result: the count starts anew
    connections_.Get(i).WaitForPairs(3 - i);
    connections_.Get(i).Answer(0);
    WaitForResults(i + 1);
    connections_.Get(i).End({absl::UnavailableError("gone")});
  }
  connections_.Get(2).WaitForPairs(1);
  connections_.Get(2).End({absl::UnavailableError("gone for good")});
  EXPECT_EQ(stream->Finish(), absl::UnavailableError("gone for good"));
  EXPECT_EQ(connections_.count(), 3);
  EXPECT_EQ(stream->Push(Pair("d")), absl::UnavailableError("gone for good"));
}

TEST_F(PairStreamTest, AFullServerIsGivenTheTimeItAsksFor) {
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  connections_.Get(0).WaitForPairs(1);
  connections_.Get(0).End({absl::ResourceExhaustedError("full"), absl::Seconds(7)});
  connections_.Get(1).WaitForPairs(1);
  ASSERT_EQ(sleeps_.size(), 1);
  EXPECT_GE(sleeps_[0], absl::Seconds(7));
}

TEST_F(PairStreamTest, APairThatAStoppingServerDidNotScoreIsSentAgain) {
  for (const absl::StatusCode code : {absl::StatusCode::kUnavailable, absl::StatusCode::kCancelled}) {
    Connections connections;
    std::vector<v1::PairResult> results;
    PairStream stream(connections.Factory(), options_, [&](v1::PairResult result) { results.push_back(result); });
    ASSERT_TRUE(stream.Push(Pair("a")).ok());
    connections.Get(0).WaitForPairs(1);
    connections.Get(0).Answer(0, code);
    connections.Get(1).WaitForPairs(1);
    connections.Get(1).Answer(0);
    std::thread server([&] {
      connections.Get(1).WaitForWritesDone();
      connections.Get(1).End({});
    });
    EXPECT_TRUE(stream.Finish().ok());
    server.join();
    ASSERT_EQ(results.size(), 1);
    EXPECT_FALSE(results[0].has_status());
  }
}

TEST_F(PairStreamTest, AFaultyPairIsAResult) {
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  connections_.Get(0).WaitForPairs(1);
  connections_.Get(0).Answer(0, absl::StatusCode::kInvalidArgument);
  WaitForResults(1);
  EXPECT_EQ(results_[0].status().code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(connections_.count(), 1);
}

TEST_F(PairStreamTest, ARefusedCallEndsTheStream) {
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  connections_.Get(0).End({absl::InvalidArgumentError("options.policy: is unknown")});
  EXPECT_EQ(stream->Finish(), absl::InvalidArgumentError("options.policy: is unknown"));
  EXPECT_TRUE(sleeps_.empty());
}

TEST_F(PairStreamTest, ResultsThatWereNotAskedForEndTheStream) {
  for (const std::uint32_t index : {0u, 7u}) {  // a second one for the same pair; one of no pair
    Connections connections;
    PairStream stream(connections.Factory(), options_, [](v1::PairResult) {});
    ASSERT_TRUE(stream.Push(Pair("a")).ok());
    connections.Get(0).WaitForPairs(1);
    connections.Get(0).Answer(0);
    connections.Get(0).Answer(index);
    const absl::Status status = stream.Finish();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not asked for"));
  }
}

TEST_F(PairStreamTest, ACallThatEndsWellWithoutAllResultsIsAnError) {
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  connections_.Get(0).WaitForPairs(1);
  connections_.Get(0).End({});
  EXPECT_TRUE(absl::IsInternal(stream->Finish()));
}

TEST_F(PairStreamTest, SilenceEndsTheStream) {
  options_.silence_timeout = absl::Milliseconds(50);
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  const absl::Status status = stream->Finish();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(PairStreamTest, AStreamCanBeAbandoned) {
  auto stream = Open();
  ASSERT_TRUE(stream->Push(Pair("a")).ok());
  connections_.Get(0).WaitForPairs(1);
  stream.reset();  // does not hang
  EXPECT_TRUE(results_.empty());
}

}  // namespace
}  // namespace prefscore::client
