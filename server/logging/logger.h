// SPDX-License-Identifier: Apache-2.0
// The server's log: lines with a level and fields, to a file descriptor.
//
// Who logs never waits for who reads: lines go through a bounded queue to a thread of the logger's own. Where the queue
// is full the oldest line leaves it; where a reader takes nothing for a second, lines are dropped until it does. What was
// dropped is counted, and told by a line of its own as soon as one can be written.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/logging/log_line.h"

namespace prefscore {

struct LoggerOptions {
  LogFormat format = LogFormat::kText;
  LogLevel level = LogLevel::kInfo;  // of the least important lines that are written
  int descriptor = 2;                // stays open as long as the logger lives
  std::size_t max_queued_lines = 4096;
  std::function<absl::Time()> now = absl::Now;
};

// Thread-safe. Owns its thread; the destructor writes what is queued, or drops it where it cannot be written.
class Logger {
 public:
  explicit Logger(LoggerOptions options);
  ~Logger();

  // Whether a line of this level would be written: asked before fields are made that cost something.
  bool IsLogged(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }
  void SetLevel(LogLevel level) { level_ = level; }
  LogLevel level() const { return level_; }

  void Log(LogLevel level, std::string_view message, const LogFields& fields = {});

  std::int64_t num_dropped_lines() const;

 private:
  class Queue;

  const LoggerOptions options_;
  std::atomic<LogLevel> level_;
  const std::unique_ptr<Queue> queue_;
};

}  // namespace prefscore
