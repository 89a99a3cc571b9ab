// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/analysis_stream.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/messages/pair_messages.h"
#include "server/report_html/report_html.h"
#include "server/rpc/counted_code.h"
#include "server/rpc/outcome_status.h"
#include "server/rpc/resolve_options.h"
#include "server/rpc/result_to_proto.h"
#include "server/rpc/status_map.h"
#include "server/util/field_error.h"
#include "server/util/shutting_down.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

std::string PairPath(std::int64_t index) { return absl::StrCat("pairs[", index, "]"); }
std::string LogpsPath(std::int64_t index) { return absl::StrCat("logps[", index, "]"); }

// What is wrong with the texts of the entry at `path` of a message; its field is the path within the entry.
absl::Status TextFault(const InvalidText& invalid_text, const std::string& path) {
  const std::string invalid = invalid_text.Under(path);
  if (invalid.empty()) return absl::OkStatus();
  return InvalidTextError(std::string(absl::StripPrefix(invalid, path + ".")));
}

}  // namespace

AnalysisStream* AnalysisStream::Start(const ServiceContext& context, grpc::CallbackServerContext* rpc,
                                      grpc::ByteBuffer* response, WorkerPool& pool,
                                      StreamSet<AnalysisStream>& streams) {
  const auto caller = CheckAccess(context.access, *rpc);
  const std::shared_ptr<AnalysisStream> stream(
      new AnalysisStream(context, rpc, response, pool, streams, caller.value_or(Caller())));
  context.metrics->OnStreamOpened();
  if (caller.ok()) {
    stream->StartRead(&stream->read_buffer_);
  } else {
    stream->End(caller.status());
  }
  streams.Add(stream);
  stream->Release();
  return stream.get();  // which lives on: gRPC says that it is done after it has got the pointer only
}

void AnalysisStream::Drain() { End(ShuttingDown()); }

void AnalysisStream::OnReadDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    if (is_finished_) return;
    ++num_busy_;
  }
  if (ok) {
    pool_.Post([self = shared_from_this()] { self->HandleMessage(); });
  } else {
    pool_.Post([self = shared_from_this()] { self->SendReport(); });
  }
}

void AnalysisStream::OnCancel() {
  context_.scorer->Cancel(*cancellation_, caller_.quota().get());
  End(absl::CancelledError("the client cancelled, went away or set a deadline that passed"));
}

void AnalysisStream::OnDone() {
  const grpc::StatusCode code = rpc_->IsCancelled() ? grpc::CANCELLED : final_code_;
  const absl::Time end = SteadyNow();
  const grpc::StatusCode counted = CountedCode(code, start_, DeadlineOf(*rpc_), end);
  context_.metrics->OnRequest("AnalyzePairs", counted, end - start_);
  log_.End(final_status_, counted, end - start_);
  context_.metrics->OnStreamClosed();
  open_call_.Leave();
  streams_.Remove(shared_from_this());
}

void AnalysisStream::HandleMessage() {
  v1::AnalyzePairsRequest request;
  InvalidText invalid_text;
  absl::Status status = caller_.Recheck();
  if (status.ok()) status = ParseRequest(read_buffer_, request, invalid_text);
  if (status.ok()) log_.OnMessage(request);
  if (status.ok() && request.has_options()) {
    status = HandleOptions(request.options(), invalid_text);
    returns_html_ = request.return_html();
  }
  if (status.ok() && analyzer_ == nullptr) {
    status = FieldError("options", "are missing; the first message of a stream carries them");
  }
  const std::int64_t num_pairs = request.pairs_size() + request.logps_size();
  if (status.ok() && num_pairs > context_.limits.max_pairs_per_request) {
    status = FieldError("pairs", absl::StrCat("and logps have ", num_pairs,
                                              " entries together; the limit is max_pairs_per_request = ",
                                              context_.limits.max_pairs_per_request));
  }
  const std::int64_t first_pair = num_pairs_, first_logps = num_logps_;
  num_pairs_ += request.pairs_size();
  num_logps_ += request.logps_size();
  for (int idx = 0; status.ok() && idx < request.logps_size(); ++idx) {
    status = AddKnown(request.logps(idx), TextFault(invalid_text, LogpsPath(idx)), LogpsPath(first_logps + idx));
  }

  std::vector<PairRequest> pairs;
  std::vector<PairOrigin> origins;
  for (int idx = 0; status.ok() && idx < request.pairs_size(); ++idx) {
    v1::PreferencePair& proto = *request.mutable_pairs(idx);
    const absl::Status text_fault = TextFault(invalid_text, PairPath(idx));
    PairOrigin origin;
    origin.index = idx;
    auto pair = text_fault.ok() ? PairFromProto(proto, RulesOf(*pair_options_, context_), origin)
                                : absl::StatusOr<PairRequest>(text_fault);
    if (pair.ok()) {
      pairs.push_back(*std::move(pair));
      origins.push_back(origin);
    } else {
      CountFailed(pair.status(), *context_.metrics);
      log_.CountItem(false);
      status = OnFault(proto.id(), pair.status(), PairPath(first_pair + idx), false);
    }
  }
  if (!status.ok() || pairs.empty()) return OnMessageDone(status);

  context_.scorer->ScorePairs(
      std::move(pairs), *pair_options_,
      {.priority = priority_,
       .deadline = DeadlineOf(*rpc_),
       .cancellation = cancellation_,
       .waits_for_room = true,
       .quota = caller_.quota()},
      [self = shared_from_this(), request = std::move(request), origins = std::move(origins)](
          absl::Status status, PairOutcomes outcomes) mutable {
        self->log_.Add(outcomes.report);
        if (!status.ok()) return self->OnMessageDone(status);
        self->pool_.Post([self, request = std::move(request), origins = std::move(origins),
                          pairs = std::move(outcomes.pairs)]() mutable {
          self->HandleScored(request, origins, std::move(pairs));
        });
      });
}

void AnalysisStream::HandleScored(const v1::AnalyzePairsRequest& request, const std::vector<PairOrigin>& origins,
                                  std::vector<PairOutcome> outcomes) {
  absl::Status status;
  const std::int64_t first_pair = num_pairs_ - request.pairs_size();
  for (std::size_t idx = 0; status.ok() && idx < outcomes.size(); ++idx) {
    const PairOutcome& outcome = outcomes[idx];
    const v1::PreferencePair& pair = request.pairs(origins[idx].index);
    const std::string path = PairPath(first_pair + origins[idx].index);
    log_.CountItem(outcome.status.ok());
    if (!outcome.status.ok()) {
      CountFailed(outcome.status, *context_.metrics);
      status = OnFault(pair.id(), outcome.status, path, absl::IsOutOfRange(outcome.status));
      continue;
    }
    CountScored(outcome, *pair_options_, *context_.metrics);
    policies_.Add(pair_options_->policy->lm->info().digest);
    if (pair_options_->reference != nullptr) references_.Add(pair_options_->reference->lm->info().digest);
    status = analyzer_->Add({pair.id(), outcome.inputs, {pair.labels().begin(), pair.labels().end()}});
    if (!status.ok()) status = UnderField(path, status);
  }
  OnMessageDone(status);
}

absl::Status AnalysisStream::HandleOptions(const v1::AnalysisOptions& options, const InvalidText& invalid_text) {
  if (analyzer_ != nullptr) return FieldError("options", "are sent twice; only the first message carries them");
  const std::string invalid = invalid_text.Under("options");
  if (!invalid.empty()) return InvalidTextError(invalid);
  auto resolved = AnalysisOptionsFromProto(options, context_.limits.max_objectives);
  if (!resolved.ok()) return UnderField("options", resolved.status());
  ASSIGN_OR_RETURN(PairOptions pair_options, ResolveOptions(options.scoring(), context_, "options.scoring"));
  ASSIGN_OR_RETURN(priority_,
                   ResolvePriority(options.scoring().priority(), Priority::kBulk, "options.scoring.priority"));
  scoring_ = options.scoring();
  with_timings_ = scoring_.return_timings();
  scoring_.clear_return_timings();  // no part of the report
  scoring_.set_policy(pair_options.policy->name);
  if (pair_options.reference != nullptr) scoring_.set_reference(pair_options.reference->name);
  log_.SetModels(NamesOf(pair_options));
  pair_options_ = std::move(pair_options);
  analyzer_ = std::make_unique<Analyzer>(*std::move(resolved));
  return absl::OkStatus();
}

absl::Status AnalysisStream::AddKnown(const v1::PairLogProbs& pair, const absl::Status& text_fault,
                                      const std::string& path) {
  if (!text_fault.ok()) return OnFault(pair.id(), text_fault, path, false);
  auto analyzed = AnalyzedPairFromProto(pair);
  if (!analyzed.ok()) return OnFault(pair.id(), analyzed.status(), path, HasNonFinite(pair.logps()));
  const absl::Status status = analyzer_->Add(*analyzed);
  if (!status.ok()) return UnderField(path, status);
  policies_.Add(pair.policy_digest());
  references_.Add(pair.reference_digest());
  return absl::OkStatus();
}

absl::Status AnalysisStream::OnFault(const std::string& id, const absl::Status& fault, const std::string& path,
                                     bool is_non_finite) {
  if (!analyzer_->options().skip_faulty_pairs) return UnderField(path, fault);
  // Without the path: where a pair stands among the others is nothing that a report should depend on.
  analyzer_->AddFaulty(id, std::string(fault.message()), is_non_finite);
  return absl::OkStatus();
}

void AnalysisStream::OnMessageDone(const absl::Status& status) {
  if (!status.ok()) End(status);
  ReadOn();
}

void AnalysisStream::ReadOn() {
  bool reads_on = false;
  {
    absl::MutexLock lock(&mutex_);
    if (!end_.has_value()) {
      // While it pauses it is busy.
      if (!pause_.HasRoom([self = shared_from_this()] { self->ReadOn(); })) return;
      reads_on = true;
    }
  }
  if (reads_on) StartRead(&read_buffer_);  // before Release: the call cannot finish in between
  Release();
}

void AnalysisStream::SendReport() {
  absl::Status status;
  if (analyzer_ == nullptr) {
    status = FieldError("options", "are missing; the stream ended before its first message");
  } else if (!cancellation_->is_cancelled()) {
    v1::AnalyzePairsResponse response;
    *response.mutable_report() =
        ReportToProto(analyzer_->MakeReport(), analyzer_->options(), scoring_, policies_, references_);
    if (returns_html_) response.set_html(report_html::ReportHtml(response.report(), {}));
    if (with_timings_) {
      TimingsToProto(log_.report(), SteadyNow() - start_, *response.mutable_timings());
    }
    *response_ = Serialize(response);
  }
  End(status);
  Release();
}

void AnalysisStream::End(absl::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    if (is_finished_) return;
    if (!end_.has_value()) end_ = std::move(status);
    pause_.Cancel();
    ++num_busy_;
  }
  Release();
}

void AnalysisStream::Release() {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    if (--num_busy_ > 0 || !end_.has_value()) return;
    is_finished_ = true;
    status = *end_;
  }
  final_status_ = status;
  const grpc::Status grpc_status = ToGrpcStatus(status);
  final_code_ = grpc_status.error_code();
  Finish(grpc_status);
}

}  // namespace prefscore
