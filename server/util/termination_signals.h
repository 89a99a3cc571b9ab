// SPDX-License-Identifier: Apache-2.0
// SIGTERM and SIGINT, as a server takes them: each ends it while it starts; later the first asks it to drain and the
// second to hurry.
#pragma once

namespace prefscore {

// One per process, for its life; made before there are threads. From construction on SIGPIPE and SIGHUP are ignored: a
// peer or a terminal that went away is no reason to stop. Handlers stay when the object is gone.
class TerminationSignals {
 public:
  // Until Serve is called, SIGTERM and SIGINT end the process at once, with exit code 0: nothing was promised to anybody.
  // (The default action would not do: the first process of a container does not get it.)
  TerminationSignals();

  // From now on the first and the second signal only wake Wait. A third one ends the process, as by default.
  void Serve();

  // Waits for a signal that no Wait returned for yet. False once Stop was called.
  bool Wait();

  // Wakes Wait.
  void Stop();
};

}  // namespace prefscore
