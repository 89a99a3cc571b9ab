// SPDX-License-Identifier: Apache-2.0
#include "server/util/termination_signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace prefscore {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT};
constexpr char kStopped[] = "stopped while starting\n";
constexpr char kSignalByte = 's', kStopByte = 'q';

// What a signal handler may touch. The pipe is that of Wait.
int signal_pipe[2] = {-1, -1};
std::atomic<bool> is_serving{false};
std::atomic<int> num_signals{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void Write(int file, const char* bytes, std::size_t num_bytes) {
  [[maybe_unused]] const ssize_t num_written = write(file, bytes, num_bytes);
}

void SetHandler(int signal_number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigaction(signal_number, &action, nullptr);
}

void OnSignal(int) {
  const int saved_errno = errno;
  if (!is_serving) {
    Write(STDERR_FILENO, kStopped, sizeof(kStopped) - 1);
    _exit(0);
  }
  if (++num_signals == 2) {
    for (const int each : kSignals) SetHandler(each, SIG_DFL);
  }
  Write(signal_pipe[1], &kSignalByte, 1);
  errno = saved_errno;
}

}  // namespace

TerminationSignals::TerminationSignals() {
  SetHandler(SIGPIPE, SIG_IGN);
  SetHandler(SIGHUP, SIG_IGN);
  if (pipe(signal_pipe) != 0) return;  // out of file descriptors: signals end the process, as they do by default
  is_serving = false;
  num_signals = 0;
  for (const int each : kSignals) SetHandler(each, OnSignal);
}

void TerminationSignals::Serve() { is_serving = true; }

bool TerminationSignals::Wait() {
  char byte = kStopByte;
  while (read(signal_pipe[0], &byte, 1) < 0 && errno == EINTR) {
  }
  return byte == kSignalByte;
}

void TerminationSignals::Stop() { Write(signal_pipe[1], &kStopByte, 1); }

}  // namespace prefscore
