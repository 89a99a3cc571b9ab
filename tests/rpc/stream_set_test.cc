// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/stream_set.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace prefscore {
namespace {

struct FakeStream : std::enable_shared_from_this<FakeStream> {
  explicit FakeStream(StreamSet<FakeStream>& set) : set(set) { ++num_alive; }
  ~FakeStream() { --num_alive; }
  // The end of a stream may come while it is drained.
  void Drain() {
    ++num_drains;
    if (ends_when_drained) set.Remove(shared_from_this());
  }

  StreamSet<FakeStream>& set;
  bool ends_when_drained = false;
  int num_drains = 0;
  static std::atomic<int> num_alive;
};
std::atomic<int> FakeStream::num_alive{0};

TEST(StreamSetTest, OwnsAStreamUntilItIsRemoved) {
  StreamSet<FakeStream> set;
  const std::weak_ptr<FakeStream> stream = [&set] {
    auto made = std::make_shared<FakeStream>(set);
    set.Add(made);
    return made;
  }();
  EXPECT_FALSE(stream.expired());
  set.Remove(stream.lock());
  EXPECT_TRUE(stream.expired());
}

TEST(StreamSetTest, DrainsWhatIsThereAndWhatComesLaterOnce) {
  StreamSet<FakeStream> set;
  const auto stays = std::make_shared<FakeStream>(set);
  const auto ends = std::make_shared<FakeStream>(set);
  ends->ends_when_drained = true;
  const auto late = std::make_shared<FakeStream>(set);
  set.Add(stays);
  set.Add(ends);
  set.Drain();
  set.Add(late);
  for (const auto& stream : {stays, ends, late}) EXPECT_EQ(stream->num_drains, 1);
}

TEST(StreamSetTest, StreamsEndWhileTheSetIsDrained) {
  for (int round = 0; round < 50; ++round) {
    StreamSet<FakeStream> set;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&set] {
        for (int idx = 0; idx < 50; ++idx) {
          const auto stream = std::make_shared<FakeStream>(set);
          set.Add(stream);
          set.Remove(stream);
        }
      });
    }
    set.Drain();
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(FakeStream::num_alive, 0);
}

}  // namespace
}  // namespace prefscore
