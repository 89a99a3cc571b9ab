// SPDX-License-Identifier: Apache-2.0
// Scores any number of pairs over StreamScorePairs, with a bounded number of them under way. A connection that breaks
// is made again, and what has no result yet is sent again: every pair gets exactly one result, or the stream fails.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/call_error.h"
#include "client/cpp/retry.h"
#include "prefscore/v1/scoring.pb.h"

namespace prefscore::client {

// One StreamScorePairs call. Read and Write may run at the same time; Cancel at any time.
class PairConnection {
 public:
  virtual ~PairConnection() = default;
  virtual bool Write(const v1::StreamScorePairsRequest& request) = 0;  // false: the call has ended
  virtual void WritesDone() = 0;
  virtual bool Read(v1::StreamScorePairsResponse* response) = 0;  // false: the call has ended
  virtual CallError Finish() = 0;                                 // how; once, after Read returned false
  virtual void Cancel() = 0;
};

struct PairStreamOptions {
  // How to score. Set the expected digests to be sure that a server which comes back serves the same models.
  v1::ScoringOptions scoring = {};
  // Most pairs that are pushed and whose result is not delivered yet. > 0.
  int window = 128;
  // Deliver results in the order of Push instead of as they finish.
  bool in_order = false;
  // Longest time that Push or Finish waits without any result; then the stream fails with DEADLINE_EXCEEDED.
  absl::Duration silence_timeout = absl::InfiniteDuration();
  // Attempts are counted since the last result. The default outlasts a server's restart: about a minute.
  RetryPolicy retry = {.max_attempts = 12};
};

// Push and Finish are thread-safe. Owns one thread, and a second one while connected.
class PairStream {
 public:
  // The result's `index` counts the pushed pairs from 0. Faulty pairs have their `status` set. Called on the stream's
  // thread, one at a time; must not call Push or Finish.
  using OnResult = std::function<void(v1::PairResult)>;
  using Connect = std::function<std::shared_ptr<PairConnection>()>;

  PairStream(Connect connect, PairStreamOptions options, OnResult on_result);
  // Cancels what is under way (and waits for a retry's sleep to end). Finish first to get all results.
  ~PairStream();

  // Waits for room in the window. An error is that of the whole stream, and final.
  absl::Status Push(v1::PreferencePair pair);

  // Waits until every pair has its result. No Push after it.
  absl::Status Finish();

 private:
  using Request = std::shared_ptr<const v1::StreamScorePairsRequest>;

  struct Call {
    std::shared_ptr<PairConnection> connection;
    std::vector<std::uint64_t> sent;  // position of each pair sent, by the call's own index
    std::uint64_t num_results = 0;
    bool has_ended = false;
  };

  void Run();
  bool WaitForWork();
  CallError RunCall(Call& call);
  void WritePairs(Call& call);
  CallError Accept(Call& call, v1::PairResult result);
  void Deliver(std::uint64_t position, v1::PairResult result);
  absl::Status Wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& condition);
  void CancelLocked(absl::Status reason);

  const Connect connect_;
  const PairStreamOptions options_;
  const OnResult on_result_;

  std::mutex mutex_;  // guards everything below
  std::condition_variable changed_;
  std::map<std::uint64_t, Request> unanswered_;   // by position
  std::map<std::uint64_t, v1::PairResult> held_;  // in_order: results that wait for an earlier one
  std::uint64_t num_pushed_ = 0;
  std::uint64_t num_answered_ = 0;
  std::uint64_t num_delivered_ = 0;
  std::shared_ptr<PairConnection> connection_;  // of the call under way
  bool is_finishing_ = false;
  bool has_ended_ = false;
  absl::Status status_;  // once it is an error, the stream is ending
  std::thread thread_;
};

}  // namespace prefscore::client
