// SPDX-License-Identifier: Apache-2.0
// Faults on purpose, one for each thing that the sanitizers are there to find: `self_check FAULT` must be reported, and
// `self_check none` must not. A build whose sanitizers are off would pass every test in silence.
#include <cstdio>
#include <climits>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace {

// From outside, so that no compiler knows the answer.
int NumberFrom(const char* text) { return static_cast<int>(std::strlen(text)); }

int ReadPastTheEnd(const std::string& fault) {
  const std::vector<int> numbers(fault.size());
  return numbers.data()[numbers.size()];
}

int UseAfterFree(const std::string& fault) {
  auto text = std::make_unique<std::string>(fault + " beyond the small texts that live elsewhere");
  const std::string* const freed = text.get();
  text.reset();
  return static_cast<int>(freed->size());
}

int OverflowANumber(const std::string& fault) { return INT_MAX - 1 + NumberFrom(fault.c_str()); }

void Leak(const std::string& fault) {
  std::string* volatile kept = new std::string(fault + " beyond the small texts that live elsewhere");
  std::printf("%zu\n", kept->size());
  kept = nullptr;
}

// A thread's writes that this one reads; what stands between them is `order`.
template <typename Order>
int CountInTwoThreads(Order order) {
  int count = 0;
  std::thread other([&] { order([&] { ++count; }); });
  order([&] { ++count; });
  other.join();
  return count;
}

int CountUnderALock() {
  absl::Mutex mutex;
  return CountInTwoThreads([&](auto add) {
    absl::MutexLock lock(&mutex);
    add();
  });
}

// All ways of waiting that the scheduler and the cache use.
int CountAfterWaiting() {
  absl::Mutex mutex;
  absl::Notification is_set;
  int count = 0;
  std::thread other([&] {
    absl::MutexLock lock(&mutex);
    const auto is_one = [&] { return count == 1; };
    mutex.Await(absl::Condition(&is_one));
    ++count;
  });
  {
    absl::MutexLock lock(&mutex);
    ++count;
    const auto is_two = [&] { return count == 2; };
    while (!mutex.AwaitWithTimeout(absl::Condition(&is_two), absl::Seconds(1))) {
    }
  }
  other.join();
  int number = 0;
  std::thread notifier([&] {
    number = 1;
    is_set.Notify();
  });
  is_set.WaitForNotification();
  count += number;
  absl::Notification is_seen;
  std::thread watcher([&] {
    number = 2;
    is_seen.Notify();
  });
  while (!is_seen.HasBeenNotified()) std::this_thread::yield();
  count += number;
  notifier.join();
  watcher.join();
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string fault = argc > 1 ? argv[1] : "";
  int result = 0;
  if (fault == "read-past-the-end") {
    result = ReadPastTheEnd(fault);
  } else if (fault == "use-after-free") {
    result = UseAfterFree(fault);
  } else if (fault == "integer-overflow") {
    result = OverflowANumber(fault);
  } else if (fault == "leak") {
    Leak(fault);
  } else if (fault == "race") {
    result = CountInTwoThreads([](auto add) { add(); });
  } else if (fault == "none") {
    result = CountUnderALock() + CountAfterWaiting();
  } else {
    std::fprintf(stderr, "usage: self_check read-past-the-end|use-after-free|integer-overflow|leak|race|none\n");
    return 2;
  }
  std::printf("%d\n", result);
  return 0;
}
