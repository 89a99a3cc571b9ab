// SPDX-License-Identifier: Apache-2.0
#include "client/cpp/pair_stream.h"

#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/status.pb.h"

namespace prefscore::client {
namespace {

// A server that stops or is full may say so of a pair instead of the call: the pair was not scored, and is not at
// fault.
bool IsUnscored(const CallError& error) {
  return absl::IsUnavailable(error.status) || absl::IsCancelled(error.status) || error.retry_delay.has_value();
}

}  // namespace

PairStream::PairStream(Connect connect, PairStreamOptions options, OnResult on_result)
    : connect_(std::move(connect)), options_(std::move(options)), on_result_(std::move(on_result)) {
  thread_ = std::thread([this] { Run(); });
}

PairStream::~PairStream() {
  {
    std::unique_lock lock(mutex_);
    CancelLocked(absl::CancelledError("the stream was abandoned"));
  }
  thread_.join();
}

absl::Status PairStream::Push(v1::PreferencePair pair) {
  auto request = std::make_shared<v1::StreamScorePairsRequest>();
  *request->mutable_pair() = std::move(pair);
  std::unique_lock lock(mutex_);
  const auto has_room = [this] { return num_pushed_ - num_delivered_ < static_cast<std::uint64_t>(options_.window); };
  if (absl::Status status = Wait(lock, has_room); !status.ok()) return status;
  if (is_finishing_) return absl::FailedPreconditionError("Push after Finish");
  unanswered_.emplace(num_pushed_++, std::move(request));
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status PairStream::Finish() {
  std::unique_lock lock(mutex_);
  is_finishing_ = true;
  changed_.notify_all();
  return Wait(lock, [this] { return has_ended_; });
}

// Waits for the condition or for the stream's error, which it returns.
absl::Status PairStream::Wait(std::unique_lock<std::mutex>& lock, const std::function<bool()>& condition) {
  while (status_.ok() && !condition()) {
    const std::uint64_t num_answered = num_answered_;
    const auto has_news = [&] { return !status_.ok() || condition() || num_answered_ != num_answered; };
    if (options_.silence_timeout == absl::InfiniteDuration()) {
      changed_.wait(lock, has_news);
    } else if (!changed_.wait_for(lock, absl::ToChronoNanoseconds(options_.silence_timeout), has_news)) {
      CancelLocked(absl::DeadlineExceededError(absl::StrCat("no result came for ",
                                                            absl::FormatDuration(options_.silence_timeout), " (",
                                                            unanswered_.size(), " pairs wait for theirs)")));
    }
  }
  return status_;
}

void PairStream::CancelLocked(absl::Status reason) {
  if (has_ended_ || !status_.ok()) return;
  status_ = std::move(reason);
  if (connection_) connection_->Cancel();
  changed_.notify_all();
}

void PairStream::Run() {
  Backoff backoff(options_.retry);
  while (WaitForWork()) {
    Call call;
    const CallError end = RunCall(call);
    if (end.status.ok()) continue;
    if (call.num_results > 0) backoff.Reset();
    const std::optional<absl::Duration> delay = backoff.NextDelay(end);
    {
      std::unique_lock lock(mutex_);
      if (!status_.ok()) break;
      if (!delay) {
        status_ = end.status;
        break;
      }
      if (unanswered_.empty()) continue;  // the call broke when there was nothing left to lose
    }
    options_.retry.on_retry(end.status, *delay);
    options_.retry.sleep(*delay);
  }
  std::unique_lock lock(mutex_);
  has_ended_ = true;
  changed_.notify_all();
}

// False: there is nothing left to do.
bool PairStream::WaitForWork() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !unanswered_.empty() || is_finishing_ || !status_.ok(); });
  return status_.ok() && !unanswered_.empty();
}

CallError PairStream::RunCall(Call& call) {
  call.connection = connect_();
  {
    std::unique_lock lock(mutex_);
    connection_ = call.connection;
    if (!status_.ok()) connection_->Cancel();
  }
  std::thread writer([&] { WritePairs(call); });
  CallError fault;  // what made us end the call
  v1::StreamScorePairsResponse response;
  while (call.connection->Read(&response)) {
    if (!fault.status.ok()) continue;
    fault = Accept(call, std::move(*response.mutable_result()));
    if (!fault.status.ok()) call.connection->Cancel();
  }
  {
    std::unique_lock lock(mutex_);
    call.has_ended = true;
    connection_.reset();
    changed_.notify_all();
  }
  writer.join();
  const CallError end = call.connection->Finish();
  if (!fault.status.ok()) return fault;
  std::unique_lock lock(mutex_);
  if (end.status.ok() && call.num_results < call.sent.size()) {
    return {absl::InternalError(absl::StrCat("the server ended the stream without a result for ",
                                             call.sent.size() - call.num_results, " pairs"))};
  }
  return end;
}

void PairStream::WritePairs(Call& call) {
  v1::StreamScorePairsRequest options;
  *options.mutable_options() = options_.scoring;
  if (!call.connection->Write(options)) return;
  for (std::uint64_t next = 0;;) {
    Request request;
    {
      std::unique_lock lock(mutex_);
      auto pair = unanswered_.end();
      changed_.wait(lock, [&] {
        pair = unanswered_.lower_bound(next);
        return call.has_ended || is_finishing_ || pair != unanswered_.end();
      });
      if (call.has_ended) return;
      if (pair != unanswered_.end()) {
        request = pair->second;
        next = pair->first + 1;
        call.sent.push_back(pair->first);
      }
    }
    if (!request) return call.connection->WritesDone();
    if (!call.connection->Write(*request)) return;
  }
}

CallError PairStream::Accept(Call& call, v1::PairResult result) {
  std::uint64_t position = 0;
  {
    std::unique_lock lock(mutex_);
    if (result.index() >= call.sent.size() || unanswered_.count(call.sent[result.index()]) == 0) {
      return {absl::InternalError(absl::StrCat("the server sent a result that was not asked for: index ",
                                               result.index(), " of ", call.sent.size()))};
    }
    position = call.sent[result.index()];
    if (result.has_status()) {
      const CallError error = ToCallError(result.status());
      if (IsUnscored(error)) return error;
    }
    unanswered_.erase(position);
    ++call.num_results;
    ++num_answered_;
    changed_.notify_all();
  }
  result.set_index(static_cast<std::uint32_t>(position));
  Deliver(position, std::move(result));
  return {};
}

// On the stream's thread only, so that results reach the callback one at a time.
void PairStream::Deliver(std::uint64_t position, v1::PairResult result) {
  const auto deliver = [this](v1::PairResult&& ready) {
    on_result_(std::move(ready));
    std::unique_lock lock(mutex_);
    ++num_delivered_;
    changed_.notify_all();
  };
  if (!options_.in_order) return deliver(std::move(result));
  held_.emplace(position, std::move(result));  // held_ is this thread's own
  while (!held_.empty() && held_.begin()->first == num_delivered_) {
    v1::PairResult ready = std::move(held_.begin()->second);
    held_.erase(held_.begin());
    deliver(std::move(ready));
  }
}

}  // namespace prefscore::client
