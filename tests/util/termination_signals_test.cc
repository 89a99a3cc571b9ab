// SPDX-License-Identifier: Apache-2.0
// Signals of a process are tested in processes of their own: what ends one must not end the tests.
#include "server/util/termination_signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

namespace prefscore {
namespace {

using ::testing::ExitedWithCode;
using ::testing::KilledBySignal;

TEST(TerminationSignalsDeathTest, WhileStartingEachEndsTheProcessAtOnce) {
  for (const int signal : {SIGTERM, SIGINT}) {
    EXPECT_EXIT(
        {
          TerminationSignals signals;
          raise(signal);
          _exit(9);
        },
        ExitedWithCode(0), "");
  }
}

TEST(TerminationSignalsDeathTest, TwoWakeTheirWaitsAndAThirdEndsTheProcess) {
  const auto two_signals = [] {
    TerminationSignals signals;
    signals.Serve();
    raise(SIGTERM);
    if (!signals.Wait()) _exit(9);
    raise(SIGINT);
    if (!signals.Wait()) _exit(9);
  };
  EXPECT_EXIT(two_signals(); _exit(7), ExitedWithCode(7), "");
  EXPECT_EXIT(two_signals(); raise(SIGTERM), KilledBySignal(SIGTERM), "");
  EXPECT_EXIT(two_signals(); raise(SIGINT), KilledBySignal(SIGINT), "");
}

TEST(TerminationSignalsDeathTest, StopWakesWithoutASignal) {
  EXPECT_EXIT(
      {
        TerminationSignals signals;
        signals.Serve();
        signals.Stop();
        _exit(signals.Wait() ? 9 : 7);
      },
      ExitedWithCode(7), "");
}

TEST(TerminationSignalsDeathTest, BrokenPipesAndHangUpsAreIgnored) {
  EXPECT_EXIT(
      {
        TerminationSignals signals;
        raise(SIGPIPE);
        raise(SIGHUP);
        signals.Serve();
        raise(SIGPIPE);
        raise(SIGHUP);
        _exit(7);
      },
      ExitedWithCode(7), "");
}

}  // namespace
}  // namespace prefscore
