// SPDX-License-Identifier: Apache-2.0
// One unary call, from bytes to bytes: parses, times, follows cancellation, maps errors, counts and logs. A handler reads
// request(), fills response() and calls Finish once, now or later, from any thread.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/rpc/call_deadline.h"
#include "server/rpc/call_log.h"
#include "server/rpc/counted_code.h"
#include "server/rpc/parse_request.h"
#include "server/rpc/result_to_proto.h"
#include "server/rpc/service_context.h"
#include "server/rpc/status_map.h"

namespace prefscore {

// gRPC owns it from Start on and deletes it after Finish.
template <typename Request, typename Response>
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // Parses `request` and hands the call to `handler`, or finishes it where its caller may not call or it does not parse.
  template <typename Handler>
  static grpc::ServerUnaryReactor* Start(const char* method, const ServiceContext& context,
                                         grpc::CallbackServerContext* rpc, const grpc::ByteBuffer* request,
                                         grpc::ByteBuffer* response, Handler handler) {
    auto* call = new UnaryCall(method, context, rpc, request, response);
    auto caller = CheckAccess(context.access, *rpc);
    absl::Status status = caller.status();
    if (status.ok()) {
      call->caller_ = *std::move(caller);
      call->log_.SetToken(call->caller_.name());
      // gRPC starts calls, too, whose client left before the request was whole.
      status = request->Valid() ? ParseRequest(*request, call->request_, call->invalid_text_)
                                : absl::CancelledError("the client left before its request was whole");
    }
    if (status.ok()) {
      call->log_.OnMessage(call->request_);
      handler(*call);
    } else {
      call->Finish(status);
    }
    return call;
  }

  Request& request() { return request_; }
  Response& response() { return response_; }
  const InvalidText& invalid_text() const { return invalid_text_; }
  CallLog& log() { return log_; }
  // Whose token it came with; "" where none is asked.
  std::string caller_name() const { return caller_.name(); }

  // The call as the scorer sees it.
  Call MakeCall(Priority priority) const {
    return {.priority = priority,
            .deadline = DeadlineOf(*rpc_),
            .cancellation = cancellation_,
            .caller = caller_.name(),
            .fingerprint = Fingerprint(*request_buffer_),
            .quota = caller_.quota()};
  }

  // Puts what the log knows of the call's time into its response. The last that is done before Finish.
  void AddTimings() { TimingsToProto(log_.report(), SteadyNow() - start_, *response_.mutable_timings()); }

  // The call must not be touched afterwards.
  void Finish(const absl::Status& status) {
    if (status.ok()) *response_buffer_ = Serialize(response_);
    const grpc::Status grpc_status = ToGrpcStatus(status);
    const absl::Time end = SteadyNow();
    const auto code = CountedCode(grpc_status.error_code(), start_, DeadlineOf(*rpc_), end);
    context_.metrics->OnRequest(method_, code, end - start_);
    log_.End(status, code, end - start_);
    grpc::ServerUnaryReactor::Finish(grpc_status);
  }

 private:
  UnaryCall(const char* method, const ServiceContext& context, grpc::CallbackServerContext* rpc,
            const grpc::ByteBuffer* request_buffer, grpc::ByteBuffer* response_buffer)
      : method_(method),
        context_(context),
        rpc_(rpc),
        request_buffer_(request_buffer),
        response_buffer_(response_buffer),
        open_call_(context.open_calls->Enter()),
        log_(CallLog::Kind::kUnary, method, *context.logger, context.call_log, *rpc) {}

  void OnCancel() override { context_.scorer->Cancel(*cancellation_); }
  void OnDone() override { delete this; }

  const std::string method_;
  const ServiceContext& context_;
  grpc::CallbackServerContext* const rpc_;
  const grpc::ByteBuffer* const request_buffer_;
  grpc::ByteBuffer* const response_buffer_;
  const OpenCalls::Entry open_call_;
  const absl::Time start_ = SteadyNow();
  // Shared: the scorer may ask after gRPC has deleted the call.
  const std::shared_ptr<Cancellation> cancellation_ = std::make_shared<Cancellation>();
  Caller caller_;
  CallLog log_;
  InvalidText invalid_text_;
  Request request_;
  Response response_;
};

}  // namespace prefscore
