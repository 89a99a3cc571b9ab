// SPDX-License-Identifier: Apache-2.0
#include "server/access/token_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <set>
#include <toml++/toml.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/civil_time.h"
#include "server/util/status_macros.h"

namespace prefscore {
namespace {

constexpr double kMaxTokensPerSecond = 1e12;
constexpr double kMaxQuotaTokens = 1e15;
constexpr double kDefaultBurstSeconds = 10;

constexpr const char* kFields[] = {"name",         "sha256",           "roles",  "tokens_per_second",
                                   "burst_tokens", "concurrent_tokens", "expires"};

// Where an error is: the file, the entry, the field.
struct Place {
  std::string file;
  std::string entry;  // "token[2] 'trainer'"

  absl::Status Error(const std::string& field, const std::string& description) const {
    return absl::InvalidArgumentError(absl::StrCat(file, ": ", entry, ": ", field, ": ", description));
  }
};

// Names stand in metrics, logs and messages.
bool IsName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxTokenNameBytes && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' || c == '@';
  });
}

absl::StatusOr<Sha256Digest> ParseDigest(const toml::table& table, const Place& place) {
  const auto text = table["sha256"].value_exact<std::string>();
  if (!text) return place.Error("sha256", "is missing or no string; `prefscore token new` prints an entry");
  if (text->size() != 64 || !std::all_of(text->begin(), text->end(), [](unsigned char c) {
        return absl::ascii_isxdigit(c);
      })) {
    // What stands here may be a token that somebody forgot to hash: it is not repeated.
    return place.Error("sha256", absl::StrCat("is not a SHA-256 of 64 hexadecimal digits, but ", text->size(),
                                              " characters (not shown: they may be a token)"));
  }
  const std::string bytes = absl::HexStringToBytes(*text);
  Sha256Digest digest;
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

absl::Status ParseRoles(const toml::table& table, const Place& place, TokenEntry& entry) {
  const std::string known = absl::StrJoin(kAccessRoleNames, ", ");
  const toml::array* const roles = table["roles"].as_array();
  if (roles == nullptr || roles->empty()) {
    return place.Error("roles", absl::StrCat("is missing or no list of one or more of: ", known));
  }
  for (const toml::node& node : *roles) {
    const auto name = node.value_exact<std::string>();
    const auto found = std::find_if(kAccessRoleNames.begin(), kAccessRoleNames.end(),
                                    [&](const char* role) { return name.has_value() && *name == role; });
    if (found == kAccessRoleNames.end()) {
      return place.Error("roles", absl::StrCat("'", name.value_or("(no string)"), "' is not one of: ", known));
    }
    entry.roles.set(static_cast<std::size_t>(found - kAccessRoleNames.begin()));
  }
  return absl::OkStatus();
}

// In [1, max]; nothing where the field is absent.
absl::StatusOr<std::optional<double>> ParseNumber(const toml::table& table, const Place& place, const char* field,
                                                  double max) {
  const toml::node* const node = table.get(field);
  if (node == nullptr) return std::optional<double>();
  const auto number = node->is_number() ? node->value<double>() : std::nullopt;
  if (!number) return place.Error(field, "is no number");
  if (!(*number >= 1 && *number <= max)) {  // NaN too
    return place.Error(field, absl::StrCat(*number, " is outside [1, ", max, "]"));
  }
  return number;
}

absl::Status ParseQuota(const toml::table& table, const Place& place, QuotaLimits& quota) {
  ASSIGN_OR_RETURN(quota.tokens_per_second, ParseNumber(table, place, "tokens_per_second", kMaxTokensPerSecond));
  ASSIGN_OR_RETURN(const std::optional<double> burst, ParseNumber(table, place, "burst_tokens", kMaxQuotaTokens));
  if (burst && !quota.tokens_per_second) {
    return place.Error("burst_tokens", "needs tokens_per_second beside it: it is what may come at once above that rate");
  }
  quota.burst_tokens = burst.value_or(kDefaultBurstSeconds * quota.tokens_per_second.value_or(0));
  ASSIGN_OR_RETURN(const std::optional<double> concurrent,
                   ParseNumber(table, place, "concurrent_tokens", kMaxQuotaTokens));
  if (concurrent && *concurrent != std::floor(*concurrent)) {
    return place.Error("concurrent_tokens", absl::StrCat(*concurrent, " is no whole number"));
  }
  if (concurrent) quota.concurrent_tokens = static_cast<std::int64_t>(*concurrent);
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> ParseExpiry(const toml::table& table, const Place& place) {
  const toml::node* const node = table.get("expires");
  if (node == nullptr) return absl::InfiniteFuture();
  toml::date date;
  toml::time time{};
  int offset_minutes = 0;
  if (const auto day = node->value_exact<toml::date>()) {
    date = *day;
  } else if (const auto moment = node->value_exact<toml::date_time>(); moment && moment->offset) {
    date = moment->date;
    time = moment->time;
    offset_minutes = moment->offset->minutes;
  } else {
    return place.Error("expires", "is no date with a time zone; as in 2027-01-31 (UTC) or 2027-01-31T18:00:00Z, "
                                  "without quotes");
  }
  const absl::CivilSecond second(date.year, date.month, date.day, time.hour, time.minute, time.second);
  return absl::FromCivil(second, absl::UTCTimeZone()) - absl::Minutes(offset_minutes);
}

absl::StatusOr<TokenEntry> ParseEntry(const toml::table& table, Place place) {
  TokenEntry entry;
  const auto name = table["name"].value_exact<std::string>();
  if (!name) return place.Error("name", "is missing or no string");
  if (!IsName(*name)) {
    return place.Error("name", absl::StrCat("'", absl::CHexEscape(*name), "' is not 1 to ", kMaxTokenNameBytes,
                                            " letters, digits or any of . _ - @"));
  }
  absl::StrAppend(&place.entry, " '", *name, "'");
  entry.name = *name;
  for (const auto& [key, value] : table) {
    const std::string field(key.str());
    if (std::find(std::begin(kFields), std::end(kFields), field) == std::end(kFields)) {
      return place.Error(field, absl::StrCat("is not one of: ", absl::StrJoin(kFields, ", ")));
    }
  }
  ASSIGN_OR_RETURN(entry.digest, ParseDigest(table, place));
  RETURN_IF_ERROR(ParseRoles(table, place, entry));
  RETURN_IF_ERROR(ParseQuota(table, place, entry.quota));
  ASSIGN_OR_RETURN(entry.expiry, ParseExpiry(table, place));
  return entry;
}

std::string WhoElseWrites(const std::string& path, const struct stat& info) {
  std::vector<std::string> who;
  if (info.st_uid != 0 && info.st_uid != geteuid()) {
    who.push_back(absl::StrCat("its owner, user ", info.st_uid, ", who is neither root nor the server's user"));
  }
  if ((info.st_mode & S_IWGRP) != 0) who.push_back(absl::StrCat("its group, ", info.st_gid, " (chmod g-w)"));
  if (who.empty()) return "";
  return absl::StrCat(path, ": can be written by ", absl::StrJoin(who, " and by "), "; they could let themselves in");
}

}  // namespace

absl::StatusOr<std::vector<TokenEntry>> ParseTokenFile(const std::string& path, const std::string& text) {
  toml::table root;
  try {
    root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", error.source().begin.line, ": ", std::string(error.description())));
  }
  for (const auto& [key, value] : root) {
    if (key.str() != "token") {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": '", std::string(key.str()), "' is unknown; the file has [[token]] tables only"));
    }
  }
  const toml::array* const tables = root["token"].as_array();
  if (tables == nullptr || tables->empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has no [[token]] table; with no token nobody could call the server"));
  }
  if (tables->size() > kMaxTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", tables->size(), " [[token]] tables; the limit is ", kMaxTokens));
  }
  std::vector<TokenEntry> entries;
  std::set<std::string> names;
  std::set<Sha256Digest> digests;
  for (const toml::node& node : *tables) {
    const Place place{path, absl::StrCat("token[", entries.size(), "]")};
    const toml::table* const table = node.as_table();
    if (table == nullptr) return place.Error("token", "is no table");
    ASSIGN_OR_RETURN(TokenEntry entry, ParseEntry(*table, place));
    if (!names.insert(entry.name).second) return place.Error("name", absl::StrCat("'", entry.name, "' is used twice"));
    if (!digests.insert(entry.digest).second) return place.Error("sha256", "is that of an entry above");
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<TokenFile> ReadTokenFile(const std::string& path) {
  const auto fail = [&path](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
  };
  const auto fail_to_read = [&] { return fail(absl::StrCat("cannot be read: ", std::strerror(errno))); };
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is not waited for
  if (descriptor < 0) return fail_to_read();
  const absl::Cleanup closer = [descriptor] { close(descriptor); };
  struct stat info = {};
  if (fstat(descriptor, &info) != 0) return fail_to_read();
  if (!S_ISREG(info.st_mode)) return fail("is no file");
  if ((info.st_mode & S_IWOTH) != 0) return fail("can be written by everybody, who so could let themselves in; chmod o-w");
  // One byte more than is allowed tells a file that is too large, also where it grows just now.
  std::string text(kMaxTokenFileBytes + 1, '\0');
  std::size_t num_bytes = 0;
  for (ssize_t count = 1; count != 0 && num_bytes < text.size(); num_bytes += static_cast<std::size_t>(count)) {
    count = read(descriptor, text.data() + num_bytes, text.size() - num_bytes);
    if (count < 0) return fail_to_read();
  }
  if (num_bytes > kMaxTokenFileBytes) {
    return fail(absl::StrCat("has more than ", kMaxTokenFileBytes, " bytes, which is the limit"));
  }
  text.resize(num_bytes);
  TokenFile file{.entries = {}, .stamp = StampOf(info), .warning = WhoElseWrites(path, info)};
  ASSIGN_OR_RETURN(file.entries, ParseTokenFile(path, text));
  return file;
}

}  // namespace prefscore
