// SPDX-License-Identifier: Apache-2.0
// One StreamScorePairs call: pairs in, results out as they finish, with a bounded window between.
//
// Invariants. A pair is in flight from its read until its result is written; no read starts while max_stream_in_flight
// pairs are in flight. At most one read and one write are outstanding. The call is finished once, when it has an end
// (end_), no pair is with the scorer and no result is left to write; afterwards no operation is started on it. gRPC holds a
// plain pointer, which is good until OnDone; whoever else works for the stream holds a shared one.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "prefscore/v1/scoring.pb.h"
#include "server/rpc/access.h"
#include "server/rpc/call_deadline.h"
#include "server/rpc/call_log.h"
#include "server/rpc/parse_request.h"
#include "server/rpc/quota_pause.h"
#include "server/rpc/result_to_proto.h"
#include "server/rpc/service_context.h"
#include "server/rpc/stream_set.h"

namespace prefscore {

class PairStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public std::enable_shared_from_this<PairStream> {
 public:
  // The stream is one of `streams` until its call is over.
  static PairStream* Start(const ServiceContext& context, grpc::CallbackServerContext* rpc,
                           StreamSet<PairStream>& streams);

  // Ends the stream once what it has read is answered.
  void Drain();

 private:
  // The first message, resolved. Shared with the scorer's callbacks.
  struct Options {
    PairOptions pair;
    ResultDetail detail;
    Priority priority;
    bool with_timings;
  };

  PairStream(const ServiceContext& context, grpc::CallbackServerContext* rpc, StreamSet<PairStream>& streams,
             Caller caller)
      : context_(context),
        rpc_(rpc),
        streams_(streams),
        open_call_(context.open_calls->Enter()),
        caller_(std::move(caller)),
        log_(CallLog::Kind::kStream, "StreamScorePairs", *context.logger, context.call_log, *rpc),
        pause_(caller_.quota()) {
    log_.SetToken(caller_.name());
  }

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // One message. What is wrong with a pair becomes its result; any other fault is returned and ends the stream.
  absl::Status HandleMessage(const grpc::ByteBuffer& message);
  absl::Status HandleOptions(const v1::ScoringOptions& options, const InvalidText& invalid_text);
  void HandlePair(v1::PreferencePair& pair, const InvalidText& invalid_text, absl::Time arrival);
  void OnScored(const PairOrigin& origin, const Options& options, absl::Time arrival,
                v1::StreamScorePairsResponse response, absl::Status status, PairOutcomes outcomes);

  // Whether the pair at `index`, the next one, is still in time to get a result.
  bool TakePair(std::int64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LosePair(std::int64_t index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void QueueResult(grpc::ByteBuffer result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Abandon() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the caller's quota has room; otherwise the stream looks again by itself.
  bool QuotaHasRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnPauseOver();
  // Starts whatever operation is due, and releases the lock. Every change of state ends with it, under the same lock:
  // once the lock is released after the last pair, another thread may finish the call.
  void Advance() ABSL_UNLOCK_FUNCTION(mutex_);

  const ServiceContext& context_;
  grpc::CallbackServerContext* const rpc_;
  StreamSet<PairStream>& streams_;
  OpenCalls::Entry open_call_;
  const Caller caller_;
  const absl::Time start_ = SteadyNow();
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();

  // Used by one read at a time only.
  std::shared_ptr<const Options> options_;
  std::int64_t num_pairs_ = 0;  // read
  grpc::ByteBuffer read_buffer_;
  // Used by one write at a time only.
  grpc::ByteBuffer write_buffer_;

  absl::Status final_status_;               // set before Finish, read after
  grpc::StatusCode final_code_ = grpc::OK;  // likewise

  absl::Mutex mutex_;
  CallLog log_;  // what is counted is under the lock
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  QuotaPause pause_ ABSL_GUARDED_BY(mutex_);
  bool is_paused_ ABSL_GUARDED_BY(mutex_) = false;  // by the quota
  bool advancing_ ABSL_GUARDED_BY(mutex_) = false;  // a thread is in Advance; it also sees what others change meanwhile
  Priority priority_ ABSL_GUARDED_BY(mutex_) = Priority::kBulk;  // once options are read, theirs
  std::int64_t num_scoring_ ABSL_GUARDED_BY(mutex_) = 0;  // pairs with the scorer
  // All pairs before this one have their result, or will have it. Grows while pairs are taken, then falls to the first one
  // that was lost with the stream's end.
  std::int64_t resume_index_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<grpc::ByteBuffer> results_ ABSL_GUARDED_BY(mutex_);  // waiting to be written
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);       // once set, nothing more is read
};

}  // namespace prefscore
