// SPDX-License-Identifier: Apache-2.0
// prefscore-server: parse, then check or serve.
#include <exception>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/config/config.h"
#include "server/logging/logger.h"
#include "server/startup/check_files.h"
#include "server/startup/exit_code.h"
#include "server/startup/run_server.h"
#include "server/util/termination_signals.h"

namespace prefscore {
namespace {

// Where there is no log: of a command line that is wrong, or only checked.
int Fail(const absl::Status& status) {
  std::cerr << "prefscore-server: " << std::string(status.message()) << std::endl;
  return kFailed;
}

int Check(const CommandLine& line) {
  std::cout << line.effective << std::endl;
  const absl::Status status = CheckFiles(
      line.config, [](const std::string& text) { std::cout << "WARNING: " << text << std::endl; });
  if (!status.ok()) return Fail(status);
  std::cout << "the configuration is good" << std::endl;
  return 0;
}

int Serve(const CommandLine& line) {
  TerminationSignals signals;  // before the log, which has a thread
  LoggerOptions options;
  options.format = line.config.logging.log_format();
  options.level = line.config.logging.log_level();
  Logger logger(options);
  for (const auto option : absl::StrSplit(line.effective, '\n', absl::SkipEmpty())) {
    logger.Log(LogLevel::kInfo, absl::StrCat("option ", option));
  }
  const auto code = RunServer(line.config, signals, logger);
  if (code.ok()) return *code;
  logger.Log(LogLevel::kError, std::string(code.status().message()));
  return kFailed;
}

}  // namespace
}  // namespace prefscore

int main(int argc, char** argv) try {
  const auto line = prefscore::ParseCommandLine(argc, argv);
  if (!line.ok()) return prefscore::Fail(line.status());
  if (!line->text.empty()) {
    std::cout << line->text;
    return 0;
  }
  return line->check_only ? prefscore::Check(*line) : prefscore::Serve(*line);
} catch (const std::exception& error) {  // no memory or no thread to start with
  std::cerr << "prefscore-server: " << error.what() << std::endl;
  return prefscore::kFailed;
}
