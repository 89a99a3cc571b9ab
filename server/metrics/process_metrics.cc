// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>

#include "server/metrics/one_value.h"

namespace prefscore {
namespace {

// What proc(5) calls utime and stime, num_threads, starttime, vsize and rss.
struct ProcessStat {
  double cpu_seconds;
  double num_threads;
  double start_after_boot_seconds;
  double virtual_bytes;
  double resident_bytes;
};

std::optional<ProcessStat> ReadProcessStat() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t name_end = text.rfind(')');  // the name itself may hold spaces and brackets
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  const auto skip = [&](int count) {
    while (count-- > 0) fields >> skipped;
  };
  double user_ticks = 0, system_ticks = 0, num_threads = 0, start_ticks = 0, virtual_bytes = 0, resident_pages = 0;
  skip(11);  // fields 3 to 13
  fields >> user_ticks >> system_ticks;
  skip(4);  // 16 to 19
  fields >> num_threads;
  skip(1);  // 21
  fields >> start_ticks >> virtual_bytes >> resident_pages;
  if (!fields) return std::nullopt;
  const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return ProcessStat{.cpu_seconds = (user_ticks + system_ticks) / ticks_per_second,
                     .num_threads = num_threads,
                     .start_after_boot_seconds = start_ticks / ticks_per_second,
                     .virtual_bytes = virtual_bytes,
                     .resident_bytes = resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE))};
}

// When the machine was started, seconds since the epoch. The kernel's answer may move by a second when the clock is set.
std::optional<double> ReadBootTime() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double seconds = 0;
    if (word == "btime" && file >> seconds) return seconds;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

std::optional<double> CountOpenFiles() {
  std::error_code error;
  std::filesystem::directory_iterator files("/proc/self/fd", error);
  if (error) return std::nullopt;
  return static_cast<double>(std::distance(begin(files), end(files))) - 1;  // less the one that reads this folder
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessMetrics::Collect() const {
  using prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  if (const std::optional<ProcessStat> stat = ReadProcessStat()) {
    families.push_back(OneValue(MetricType::Counter, "process_cpu_seconds_total",
                                "Processor time of user and system", stat->cpu_seconds));
    families.push_back(OneValue(MetricType::Gauge, "process_threads", "Threads of the process", stat->num_threads));
    families.push_back(
        OneValue(MetricType::Gauge, "process_virtual_memory_bytes", "Address space in use", stat->virtual_bytes));
    families.push_back(OneValue(MetricType::Gauge, "process_resident_memory_bytes",
                                "Memory of the machine in use, mapped files included", stat->resident_bytes));
    // Read once: a start time that moves reads as a restart.
    static const std::optional<double> boot_time = ReadBootTime();
    if (boot_time.has_value()) {
      families.push_back(OneValue(MetricType::Gauge, "process_start_time_seconds",
                                  "When the process was started, seconds since the epoch",
                                  *boot_time + stat->start_after_boot_seconds));
    }
  }
  if (const std::optional<double> num_open_files = CountOpenFiles()) {
    families.push_back(
        OneValue(MetricType::Gauge, "process_open_fds", "Open file descriptors, connections included", *num_open_files));
  }
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(OneValue(MetricType::Gauge, "process_max_fds", "Most file descriptors that may be open",
                                static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace prefscore
