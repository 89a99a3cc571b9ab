// SPDX-License-Identifier: Apache-2.0
// Lets a stream read no faster than its caller's quota allows: it reads on once the quota has room.
#pragma once

#include <grpcpp/alarm.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "server/access/quota.h"
#include "server/rpc/call_deadline.h"

namespace prefscore {

// Used by one thread at a time.
class QuotaPause {
 public:
  // Null: there is always room.
  explicit QuotaPause(std::shared_ptr<const Quota> quota) : quota_(std::move(quota)) {}

  // Whether there is room now. Otherwise `look_again` will be called once, on a thread of gRPC's, also where Cancel came
  // between. Call it again only then.
  bool HasRoom(std::function<void()> look_again) {
    if (quota_ == nullptr) return true;
    const absl::Duration pause = quota_->Pause();
    if (pause <= absl::ZeroDuration()) return true;
    alarm_.emplace();
    // An alarm keeps its function after it went off. The stream that owns the alarm is held by the function, which lets
    // it go then: otherwise each would keep the other for good.
    alarm_->Set(GrpcTimeAfter(pause),
                [look_again = std::move(look_again)](bool) mutable { std::exchange(look_again, nullptr)(); });
    return false;
  }

  // The stream has its end: it need not look again later than now.
  void Cancel() {
    if (alarm_.has_value()) alarm_->Cancel();
  }

 private:
  const std::shared_ptr<const Quota> quota_;
  std::optional<grpc::Alarm> alarm_;
};

}  // namespace prefscore
