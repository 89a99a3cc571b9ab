// SPDX-License-Identifier: Apache-2.0
#include "client/cli/token_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "server/access/new_token.h"
#include "server/access/token_file.h"

namespace prefscore::cli {
namespace {

// Into a file of its own that nobody else can read.
absl::Status WriteToken(const std::string& path, const std::string& token) {
  const auto fail = [&path] {
    return absl::InvalidArgumentError(absl::StrCat("--output '", path, "': ", std::strerror(errno)));
  };
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return fail();
  const std::string line = token + "\n";
  const bool is_written = write(file, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const absl::Status status = is_written ? absl::OkStatus() : fail();
  if (close(file) != 0 && status.ok()) return fail();
  return status;
}

}  // namespace

int RunNewToken(const TokenOptions& options) {
  const absl::StatusOr<std::string> token = NewToken();
  if (!token.ok()) return Fail(token.status());
  const std::string entry = TokenFileEntry(options.name, options.roles, *token);
  // What the server would say of it, it says now.
  if (const auto entries = ParseTokenFile("the new entry", entry); !entries.ok()) return Fail(entries.status());
  if (options.output.empty()) {
    std::cerr << "The token, which is shown only now and stored nowhere:\n" << *token << "\n"
              << "The entry for the server's token file:" << std::endl;
  } else if (const absl::Status status = WriteToken(options.output, *token); !status.ok()) {
    return Fail(status);
  }
  std::cout << entry;
  return kAllDone;
}

}  // namespace prefscore::cli
