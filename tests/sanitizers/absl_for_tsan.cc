// SPDX-License-Identifier: Apache-2.0
// Tells ThreadSanitizer what abseil's locks order. The system's abseil is not instrumented, so that the sanitizer sees
// neither the locks nor what they protect, and would call every use of absl::Mutex a race. In a TSan build the linker
// hands the calls of our code to the functions here (--wrap, absl_for_tsan.txt), which say what happens and call the
// real ones: the locks that run are abseil's own.
//
// Between "pre" and "post" the sanitizer looks away: abseil runs the Conditions of waiting threads inside Unlock and
// Await, with the lock held.
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

// Names as Debian builds abseil 20220623, in an inline namespace of its own. With another abseil the self-check of
// scripts/sanitize fails.
#define WRAPPED(name) asm("__wrap__ZN4absl7debian3" name)
#define REAL(name) asm("__real__ZN4absl7debian3" name)
#define WRAPPED_CONST(name) asm("__wrap__ZNK4absl7debian3" name)
#define REAL_CONST(name) asm("__real__ZNK4absl7debian3" name)

namespace prefscore::tsan {

using absl::Condition;
using absl::Duration;
using absl::Mutex;
using absl::Notification;

void RealLock(Mutex*) REAL("5Mutex4LockEv");
void RealUnlock(Mutex*) REAL("5Mutex6UnlockEv");
void RealAwait(Mutex*, const Condition&) REAL("5Mutex5AwaitERKNS0_9ConditionE");
bool RealAwaitWithTimeout(Mutex*, const Condition&, Duration)
    REAL("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
void RealNotify(Notification*) REAL("12Notification6NotifyEv");
void RealWaitForNotification(const Notification*) REAL_CONST("12Notification19WaitForNotificationEv");

void Lock(Mutex* mutex) WRAPPED("5Mutex4LockEv");
void Unlock(Mutex* mutex) WRAPPED("5Mutex6UnlockEv");
void Await(Mutex* mutex, const Condition& condition) WRAPPED("5Mutex5AwaitERKNS0_9ConditionE");
bool AwaitWithTimeout(Mutex* mutex, const Condition& condition, Duration timeout)
    WRAPPED("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
void Notify(Notification* notification) WRAPPED("12Notification6NotifyEv");
void WaitForNotification(const Notification* notification) WRAPPED_CONST("12Notification19WaitForNotificationEv");

static void BeforeLock(Mutex* mutex) { __tsan_mutex_pre_lock(mutex, __tsan_mutex_linker_init); }
static void AfterLock(Mutex* mutex) { __tsan_mutex_post_lock(mutex, __tsan_mutex_linker_init, 0); }
static void BeforeUnlock(Mutex* mutex) { __tsan_mutex_pre_unlock(mutex, __tsan_mutex_linker_init); }
static void AfterUnlock(Mutex* mutex) { __tsan_mutex_post_unlock(mutex, __tsan_mutex_linker_init); }

// The flag that HasBeenNotified reads in our code lies behind the notification's mutex.
static void* FlagOf(const Notification* notification) {
  static_assert(sizeof(Notification) == 2 * sizeof(Mutex));
  return const_cast<char*>(reinterpret_cast<const char*>(notification)) + sizeof(Mutex);
}

void Lock(Mutex* mutex) {
  BeforeLock(mutex);
  RealLock(mutex);
  AfterLock(mutex);
}

void Unlock(Mutex* mutex) {
  BeforeUnlock(mutex);
  RealUnlock(mutex);
  AfterUnlock(mutex);
}

void Await(Mutex* mutex, const Condition& condition) {
  BeforeUnlock(mutex);
  AfterUnlock(mutex);
  BeforeLock(mutex);
  RealAwait(mutex, condition);
  AfterLock(mutex);
}

bool AwaitWithTimeout(Mutex* mutex, const Condition& condition, Duration timeout) {
  BeforeUnlock(mutex);
  AfterUnlock(mutex);
  BeforeLock(mutex);
  const bool is_true = RealAwaitWithTimeout(mutex, condition, timeout);
  AfterLock(mutex);
  return is_true;
}

void Notify(Notification* notification) {
  __tsan_release(FlagOf(notification));
  RealNotify(notification);
}

void WaitForNotification(const Notification* notification) {
  RealWaitForNotification(notification);
  __tsan_acquire(FlagOf(notification));
}

}  // namespace prefscore::tsan
