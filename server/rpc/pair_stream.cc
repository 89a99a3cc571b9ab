// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/pair_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/messages/objective_messages.h"
#include "server/messages/pair_messages.h"
#include "server/rpc/counted_code.h"
#include "server/rpc/group_from_proto.h"
#include "server/rpc/outcome_status.h"
#include "server/rpc/resolve_options.h"
#include "server/rpc/status_map.h"
#include "server/util/field_error.h"
#include "server/util/shutting_down.h"
#include "server/util/status_macros.h"

namespace prefscore {

PairStream* PairStream::Start(const ServiceContext& context, grpc::CallbackServerContext* rpc,
                              StreamSet<PairStream>& streams) {
  const auto caller = CheckAccess(context.access, *rpc);
  const std::shared_ptr<PairStream> stream(new PairStream(context, rpc, streams, caller.value_or(Caller())));
  context.metrics->OnStreamOpened();
  streams.Add(stream);
  stream->mutex_.Lock();
  if (!caller.ok()) stream->End(caller.status());
  stream->Advance();
  return stream.get();  // which lives on: gRPC says that it is done after it has got the pointer only
}

void PairStream::Drain() {
  mutex_.Lock();
  End(ShuttingDown());
  Advance();
}

void PairStream::OnReadDone(bool ok) {
  absl::Status status;
  if (ok) {
    status = caller_.Recheck();
    if (status.ok()) status = HandleMessage(read_buffer_);
  } else if (options_ == nullptr) {
    status = FieldError("options", "are missing; the stream ended before its first message");
  }
  mutex_.Lock();
  reading_ = false;
  if (!ok || !status.ok()) End(status);
  Advance();
}

void PairStream::OnWriteDone(bool ok) {
  mutex_.Lock();
  writing_ = false;
  if (!ok) Abandon();
  Advance();
}

void PairStream::OnCancel() {
  mutex_.Lock();
  Abandon();
  Advance();
}

void PairStream::OnDone() {
  // Only now it is certain whether the end reached the client.
  const grpc::StatusCode code = rpc_->IsCancelled() ? grpc::CANCELLED : final_code_;
  const absl::Time end = SteadyNow();
  const grpc::StatusCode counted = CountedCode(code, start_, DeadlineOf(*rpc_), end);
  context_.metrics->OnRequest("StreamScorePairs", counted, end - start_);
  log_.End(final_status_, counted, end - start_);
  context_.metrics->OnStreamClosed();
  open_call_.Leave();
  streams_.Remove(shared_from_this());
}

absl::Status PairStream::HandleMessage(const grpc::ByteBuffer& message) {
  const absl::Time arrival = SteadyNow();
  v1::StreamScorePairsRequest request;
  InvalidText invalid_text;
  RETURN_IF_ERROR(ParseRequest(message, request, invalid_text));
  log_.OnMessage(request);
  switch (request.kind_case()) {
    case v1::StreamScorePairsRequest::kOptions: return HandleOptions(request.options(), invalid_text);
    case v1::StreamScorePairsRequest::kPair: break;
    case v1::StreamScorePairsRequest::KIND_NOT_SET:
      return FieldError("kind", "a message carries neither options nor a pair");
  }
  if (options_ == nullptr) return FieldError("options", "are missing; the first message of a stream carries them");
  if (num_pairs_ >= context_.max_pairs_per_stream) {
    return FieldError("pair", absl::StrCat("is one too many; a stream has at most ", context_.max_pairs_per_stream,
                                           " pairs; send the rest in another"));
  }
  HandlePair(*request.mutable_pair(), invalid_text, arrival);
  return absl::OkStatus();
}

absl::Status PairStream::HandleOptions(const v1::ScoringOptions& options, const InvalidText& invalid_text) {
  if (options_ != nullptr) return FieldError("options", "are sent twice; only the first message carries them");
  const std::string invalid = invalid_text.Under("options");
  if (!invalid.empty()) return InvalidTextError(invalid);
  ASSIGN_OR_RETURN(PairOptions resolved, ResolveOptions(options, context_));
  RETURN_IF_ERROR(CheckNoBatchObjective(resolved.objectives, "options.objectives", "the pairs of a stream"));
  ASSIGN_OR_RETURN(const Priority priority,
                   ResolvePriority(options.priority(), Priority::kBulk, "options.priority"));
  options_ = std::make_shared<const Options>(Options{.pair = std::move(resolved),
                                                     .detail = {options.return_token_logps(), options.return_token_ids()},
                                                     .priority = priority,
                                                     .with_timings = options.return_timings()});
  absl::MutexLock lock(&mutex_);
  log_.SetModels(NamesOf(options_->pair));
  priority_ = priority;
  return absl::OkStatus();
}

void PairStream::HandlePair(v1::PreferencePair& pair, const InvalidText& invalid_text, absl::Time arrival) {
  v1::StreamScorePairsResponse response;
  EchoPair(pair, static_cast<std::uint32_t>(num_pairs_), *response.mutable_result());
  PairOrigin origin;
  origin.index = num_pairs_++;

  const std::string invalid = invalid_text.Under("pair");
  absl::StatusOr<PairRequest> request = invalid.empty()
                                            ? PairFromProto(pair, RulesOf(options_->pair, context_), origin)
                                            : InvalidTextError(invalid);
  if (!request.ok()) {
    absl::MutexLock lock(&mutex_);
    if (!TakePair(origin.index)) return;
    FailPair(invalid.empty() ? UnderField("pair", request.status()) : request.status(), *context_.metrics,
             *response.mutable_result());
    log_.CountItem(false);
    return QueueResult(Serialize(response));
  }
  {
    absl::MutexLock lock(&mutex_);
    if (!TakePair(origin.index)) return;
    ++num_scoring_;
  }
  std::vector<PairRequest> pairs;
  pairs.push_back(*std::move(request));
  context_.scorer->ScorePairs(
      std::move(pairs), options_->pair,
      {.priority = options_->priority,
       .deadline = DeadlineOf(*rpc_),
       .cancellation = cancellation_,
       .waits_for_room = true,
       .quota = caller_.quota()},
      [self = shared_from_this(), origin, options = options_, arrival, response = std::move(response)](
          absl::Status status, PairOutcomes outcomes) mutable {
        self->OnScored(origin, *options, arrival, std::move(response), std::move(status), std::move(outcomes));
      });
}

void PairStream::OnScored(const PairOrigin& origin, const Options& options, absl::Time arrival,
                          v1::StreamScorePairsResponse response, absl::Status status, PairOutcomes outcomes) {
  grpc::ByteBuffer bytes;
  if (status.ok()) {
    PairOutcome& outcome = outcomes.pairs.front();
    outcome.status = UnderField("pair", outcome.status);
    AnswerPair(outcome, options.pair, origin, options.detail, *context_.metrics, *response.mutable_result());
    if (options.with_timings) {
      TimingsToProto(outcomes.report, SteadyNow() - arrival, *response.mutable_result()->mutable_timings());
    }
    bytes = Serialize(response);
  }
  mutex_.Lock();
  --num_scoring_;
  log_.Add(outcomes.report);
  if (status.ok()) {
    log_.CountItem(outcomes.pairs.front().status.ok());
    QueueResult(std::move(bytes));
  } else {
    LosePair(origin.index);
    End(status);
  }
  Advance();
}

// False where the stream ended, and may be finished, while this pair was read.
bool PairStream::TakePair(std::int64_t index) {
  if (end_.has_value()) {
    LosePair(index);
    return false;
  }
  resume_index_ = index + 1;
  return true;
}

void PairStream::LosePair(std::int64_t index) { resume_index_ = std::min(resume_index_, index); }

void PairStream::QueueResult(grpc::ByteBuffer result) {
  if (!cancellation_->is_cancelled()) results_.push_back(std::move(result));
}

void PairStream::End(const absl::Status& status) {
  if (!end_.has_value()) end_ = status;
  pause_.Cancel();
}

// The client is gone: nothing more can be written, and what is queued need not be computed.
void PairStream::Abandon() {
  context_.scorer->Cancel(*cancellation_, caller_.quota().get());
  results_.clear();
  end_ = absl::CancelledError("the client cancelled, went away or set a deadline that passed");
  pause_.Cancel();
}

// An empty window always has room, so that a full queue slows streams down but stops none of them.
bool PairStream::HasRoom() const {
  const std::int64_t in_flight = num_scoring_ + static_cast<std::int64_t>(results_.size()) + (writing_ ? 1 : 0);
  if (in_flight == 0) return true;
  return in_flight < context_.limits.max_stream_in_flight && context_.scorer->scheduler().HasRoom(priority_);
}

bool PairStream::QuotaHasRoom() {
  if (is_paused_) return false;
  is_paused_ = !pause_.HasRoom([self = shared_from_this()] { self->OnPauseOver(); });
  return !is_paused_;
}

void PairStream::OnPauseOver() {
  mutex_.Lock();
  is_paused_ = false;
  Advance();
}

void PairStream::Advance() {
  if (advancing_) return mutex_.Unlock();
  advancing_ = true;
  for (;;) {
    if (!writing_ && !results_.empty()) {
      writing_ = true;
      write_buffer_ = std::move(results_.front());
      results_.pop_front();
      mutex_.Unlock();
      StartWrite(&write_buffer_);
    } else if (!end_.has_value() && !reading_ && HasRoom() && QuotaHasRoom()) {
      reading_ = true;
      mutex_.Unlock();
      StartRead(&read_buffer_);
    } else if (end_.has_value() && !writing_ && results_.empty() && num_scoring_ == 0) {
      final_status_ = end_->ok() ? *end_ : WithResumeIndex(*std::move(end_), resume_index_);
      const grpc::Status status = ToGrpcStatus(final_status_);
      final_code_ = status.error_code();
      mutex_.Unlock();
      Finish(status);
      return;  // advancing_ stays set: nobody acts any more
    } else {
      advancing_ = false;
      return mutex_.Unlock();
    }
    mutex_.Lock();
  }
}

}  // namespace prefscore
