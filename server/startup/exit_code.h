// SPDX-License-Identifier: Apache-2.0
// How a server's process ends; deploy/STOPPING.md tells operators.
#pragma once

namespace prefscore {

enum ExitCode : int {
  kComplete = 0,   // stopped as asked, and whatever was admitted is answered
  kFailed = 1,     // could not start
  kCutOff = 3,     // stopped as asked, but some admitted work was not waited for
  kCacheLost = 4,  // stopped as asked and all is answered, but the cache's disk hangs
  kBatchHung = 5,  // stopped as asked, but a batch did not end
};

}  // namespace prefscore
