// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/waiting_connections.h"

#include <sys/socket.h>

namespace prefscore {

void WaitingConnections::OnOpen() {
  absl::MutexLock lock(&mutex_);
  ++num_open_;
  MakeRoom();
}

void WaitingConnections::EndAll() {
  absl::MutexLock lock(&mutex_);
  is_ending_ = true;
  MakeRoom();
}

void WaitingConnections::MakeRoom() {
  for (Wait* const wait : waits_) {
    if (!is_ending_ && num_open_ - num_shut_down_ <= max_served_) return;
    if (!wait->is_waiting_ || wait->is_shut_down_) continue;
    shutdown(wait->socket_, SHUT_RDWR);  // wakes its thread, which finds the connection ended
    wait->is_shut_down_ = true;
    ++num_shut_down_;
  }
}

WaitingConnections::Wait::Wait(WaitingConnections& connections, int socket)
    : connections_(connections), socket_(socket) {
  absl::MutexLock lock(&connections_.mutex_);
  connections_.waits_.push_back(this);
}

WaitingConnections::Wait::~Wait() {
  absl::MutexLock lock(&connections_.mutex_);
  connections_.waits_.remove(this);
  --connections_.num_open_;
  if (is_shut_down_) --connections_.num_shut_down_;
}

void WaitingConnections::Wait::Begin() {
  absl::MutexLock lock(&connections_.mutex_);
  is_waiting_ = true;
  connections_.MakeRoom();
}

void WaitingConnections::Wait::End() {
  absl::MutexLock lock(&connections_.mutex_);
  is_waiting_ = false;
}

}  // namespace prefscore
