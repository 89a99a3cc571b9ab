// SPDX-License-Identifier: Apache-2.0
// Who makes room where more connections are open than threads serve them.
#pragma once

#include <list>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefscore {

// Connections that wait for their peers, and how many are open in all. Where more are open than can be served, those
// that have waited longest are shut down: who sends nothing, or slowly, cannot keep others out. Thread-safe.
class WaitingConnections {
 public:
  explicit WaitingConnections(int max_served) : max_served_(max_served) {}

  // A connection was accepted. It gets a Wait as soon as a thread is free for it.
  void OnOpen();

  // Of one connection, until it is gone.
  class Wait {
   public:
    Wait(WaitingConnections& connections, int socket);
    ~Wait();
    Wait(const Wait&) = delete;

    // Between these the peer is waited for; outside, the connection is at work and stays.
    void Begin();
    void End();

   private:
    friend class WaitingConnections;
    WaitingConnections& connections_;
    const int socket_;
    bool is_waiting_ = false;  // this and the next: under the lock of connections_
    bool is_shut_down_ = false;
  };

  // From now on whoever waits is shut down.
  void EndAll();

 private:
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int max_served_;
  absl::Mutex mutex_;
  int num_open_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_shut_down_ ABSL_GUARDED_BY(mutex_) = 0;  // of those that are open
  bool is_ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::list<Wait*> waits_ ABSL_GUARDED_BY(mutex_);  // the oldest first
};

}  // namespace prefscore
