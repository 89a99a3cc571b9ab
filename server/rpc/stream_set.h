// SPDX-License-Identifier: Apache-2.0
// The open streams of a service. The set owns them: a stream lives until it is removed (once gRPC is done with it) and
// whoever works for it, and so holds a pointer of its own, is done, too.
#pragma once

#include <memory>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefscore {

// Thread-safe. `Stream` has a method Drain, which may be called at any time and from any thread, also after the stream's
// end, and which may remove the stream.
template <typename Stream>
class StreamSet {
 public:
  // Drains the stream at once where the set is drained.
  void Add(std::shared_ptr<Stream> stream) {
    {
      absl::MutexLock lock(&mutex_);
      streams_.insert(stream);
      if (!draining_) return;
    }
    stream->Drain();
  }

  void Remove(const std::shared_ptr<Stream>& stream) {
    absl::MutexLock lock(&mutex_);
    streams_.erase(stream);
  }

  // Drains all streams, and those that are added later.
  void Drain() {
    std::set<std::shared_ptr<Stream>> streams;
    {
      absl::MutexLock lock(&mutex_);
      draining_ = true;
      streams = streams_;
    }
    for (const auto& stream : streams) stream->Drain();
  }

 private:
  absl::Mutex mutex_;
  std::set<std::shared_ptr<Stream>> streams_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace prefscore
