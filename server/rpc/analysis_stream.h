// SPDX-License-Identifier: Apache-2.0
// One AnalyzePairs call: messages in, one at a time, each analysed before the next is read; a report out.
//
// Invariants. At most one message is under way, on a thread of the pool or with the scorer. The call has one end, the
// first of: its report, a fault, a cancellation, a drain. It is finished once, when it has its end and nothing is busy
// with it; afterwards no operation is started on it.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "prefscore/v1/diagnostics.pb.h"
#include "server/messages/analysis_messages.h"
#include "server/rpc/access.h"
#include "server/rpc/call_deadline.h"
#include "server/rpc/call_log.h"
#include "server/rpc/group_from_proto.h"
#include "server/rpc/parse_request.h"
#include "server/rpc/quota_pause.h"
#include "server/rpc/service_context.h"
#include "server/rpc/stream_set.h"
#include "server/util/worker_pool.h"

namespace prefscore {

class AnalysisStream final : public grpc::ServerReadReactor<grpc::ByteBuffer>,
                             public std::enable_shared_from_this<AnalysisStream> {
 public:
  // The stream is one of `streams` until its call is over.
  static AnalysisStream* Start(const ServiceContext& context, grpc::CallbackServerContext* rpc,
                               grpc::ByteBuffer* response, WorkerPool& pool, StreamSet<AnalysisStream>& streams);

  // Ends the stream once the message that it works on is done.
  void Drain();

 private:
  AnalysisStream(const ServiceContext& context, grpc::CallbackServerContext* rpc, grpc::ByteBuffer* response,
                 WorkerPool& pool, StreamSet<AnalysisStream>& streams, Caller caller)
      : context_(context),
        rpc_(rpc),
        response_(response),
        pool_(pool),
        streams_(streams),
        open_call_(context.open_calls->Enter()),
        caller_(std::move(caller)),
        log_(CallLog::Kind::kStream, "AnalyzePairs", *context.logger, context.call_log, *rpc),
        pause_(caller_.quota()) {
    log_.SetToken(caller_.name());
  }

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  // On a thread of the pool. Each ends with OnMessageDone, now or once the scorer is done.
  void HandleMessage();
  void HandleScored(const v1::AnalyzePairsRequest& request, const std::vector<PairOrigin>& origins,
                    std::vector<PairOutcome> outcomes);
  // Reads on, or ends the call with what is wrong.
  void OnMessageDone(const absl::Status& status);
  // Reads the next message once the caller's quota has room.
  void ReadOn();
  void SendReport();

  absl::Status HandleOptions(const v1::AnalysisOptions& options, const InvalidText& invalid_text);
  absl::Status AddKnown(const v1::PairLogProbs& pair, const absl::Status& text_fault, const std::string& path);
  // Counts the fault of the pair at `path` of the stream, or returns it, by the options.
  absl::Status OnFault(const std::string& id, const absl::Status& fault, const std::string& path, bool is_non_finite);

  // The call ends with `status`, unless it has an end already.
  void End(absl::Status status);
  // Whoever is busy with the stream is done; the last one finishes the call where it has its end.
  void Release();

  const ServiceContext& context_;
  grpc::CallbackServerContext* const rpc_;
  grpc::ByteBuffer* const response_;
  WorkerPool& pool_;
  StreamSet<AnalysisStream>& streams_;
  OpenCalls::Entry open_call_;
  const Caller caller_;
  const absl::Time start_ = SteadyNow();
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();

  // Used by one message at a time only.
  CallLog log_;
  grpc::ByteBuffer read_buffer_;
  v1::ScoringOptions scoring_;
  std::optional<PairOptions> pair_options_;
  Priority priority_ = Priority::kBulk;
  bool returns_html_ = false;
  bool with_timings_ = false;
  std::unique_ptr<Analyzer> analyzer_;
  std::int64_t num_pairs_ = 0;  // entries of `pairs` in the messages so far
  std::int64_t num_logps_ = 0;  // and of `logps`
  DigestSet policies_;
  DigestSet references_;

  absl::Status final_status_;               // set before Finish, read after
  grpc::StatusCode final_code_ = grpc::OK;  // likewise

  absl::Mutex mutex_;
  QuotaPause pause_ ABSL_GUARDED_BY(mutex_);
  int num_busy_ ABSL_GUARDED_BY(mutex_) = 1;  // messages under way, and calls of its methods; at first Start
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace prefscore
