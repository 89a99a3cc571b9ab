// SPDX-License-Identifier: Apache-2.0
#include "server/config/cache_options.h"

#include <CLI/App.hpp>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "server/cache/disk_store.h"
#include "server/config/option_checks.h"

namespace prefscore {
namespace {

constexpr std::int64_t kMaxCacheBytes = std::int64_t{1} << 50;

// As the XDG base directory specification has it; empty where there is no home.
std::string UserCacheFolder() {
  const char* cache_home = std::getenv("XDG_CACHE_HOME");
  if (cache_home != nullptr && cache_home[0] == '/') return absl::StrCat(cache_home, "/prefscore");
  const char* home = std::getenv("HOME");
  return home != nullptr && home[0] == '/' ? absl::StrCat(home, "/.cache/prefscore") : "";
}

}  // namespace

void AddOptions(CLI::App& app, CacheOptions& options) {
  options.folder = UserCacheFolder();
  app.add_option("--cache-dir", options.folder, "Folder of the cache of log-probs, one server's at a time; \"\": no cache")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--cache-max-bytes", options.max_bytes,
                 "Size of the cache on disk, bytes; the oldest log-probs leave first")
      ->type_name("N")
      ->capture_default_str();
}

absl::Status CheckOptions(const CacheOptions& options) {
  return CheckRange("--cache-max-bytes", options.max_bytes, kMinStoreBytes, kMaxCacheBytes);
}

}  // namespace prefscore
