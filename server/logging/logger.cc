// SPDX-License-Identifier: Apache-2.0
#include "server/logging/logger.h"

#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>

#include "absl/strings/str_cat.h"
#include "server/logging/line_writer.h"

namespace prefscore {
namespace {

constexpr std::chrono::milliseconds kPatience{1000};

// A reader that is gone fails the write; it must not end the process.
void BlockSigpipe() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

// Where spdlog's thread puts the lines, which are complete when they come here. Used by that thread only, but for the
// count.
class Sink final : public spdlog::sinks::sink {
 public:
  Sink(const LoggerOptions& options, std::function<std::int64_t()> num_overrun)
      : options_(options), num_overrun_(std::move(num_overrun)), writer_(options.descriptor, kPatience) {}

  std::int64_t num_unwritten() const { return num_unwritten_; }

 private:
  void log(const spdlog::details::log_msg& line) override {
    TellDropped();
    if (!writer_.Write({line.payload.data(), line.payload.size()})) ++num_unwritten_;
  }

  void TellDropped() {
    const std::int64_t num_dropped = num_unwritten_ + num_overrun_();
    if (num_dropped == num_told_) return;
    const std::string line = LogLine(options_.format, options_.now(), LogLevel::kWarning, "log lines were dropped",
                                     {{"dropped_lines", num_dropped - num_told_}});
    if (writer_.Write(line)) num_told_ = num_dropped;
  }

  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

  const LoggerOptions& options_;
  const std::function<std::int64_t()> num_overrun_;
  LineWriter writer_;
  std::atomic<std::int64_t> num_unwritten_{0};
  std::int64_t num_told_ = 0;
};

}  // namespace

class Logger::Queue {
 public:
  explicit Queue(const LoggerOptions& options)
      : pool_(std::make_shared<spdlog::details::thread_pool>(options.max_queued_lines, 1, BlockSigpipe)),
        sink_(std::make_shared<Sink>(options, [pool = pool_.get()] { return NumOverrun(*pool); })),
        logger_(std::make_shared<spdlog::async_logger>("", sink_, pool_,
                                                       spdlog::async_overflow_policy::overrun_oldest)) {}

  void Push(std::string_view line) { logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size())); }

  std::int64_t num_dropped() const { return NumOverrun(*pool_) + sink_->num_unwritten(); }

 private:
  static std::int64_t NumOverrun(spdlog::details::thread_pool& pool) {
    return static_cast<std::int64_t>(pool.overrun_counter());
  }

  // First, so that it ends last: its thread uses the sink until it has written all lines.
  const std::shared_ptr<spdlog::details::thread_pool> pool_;
  const std::shared_ptr<Sink> sink_;
  const std::shared_ptr<spdlog::async_logger> logger_;
};

Logger::Logger(LoggerOptions options)
    : options_(std::move(options)), level_(options_.level), queue_(std::make_unique<Queue>(options_)) {}

Logger::~Logger() = default;

void Logger::Log(LogLevel level, std::string_view message, const LogFields& fields) {
  if (IsLogged(level)) queue_->Push(LogLine(options_.format, options_.now(), level, message, fields));
}

std::int64_t Logger::num_dropped_lines() const { return queue_->num_dropped(); }

}  // namespace prefscore
