// SPDX-License-Identifier: Apache-2.0
#include "client/cli/top/scrape.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace prefscore::cli {
namespace {

// Reads one line from its start on. Each method takes what it names off the front, or says that it is not there.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  bool is_at_end() const { return rest_.empty(); }

  bool Take(char wanted) {
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool SkipBlanks() {
    const std::size_t count = std::min(rest_.find_first_not_of(" \t"), rest_.size());
    rest_.remove_prefix(count);
    return count > 0;
  }

  std::string TakeName(bool may_have_colon) {
    std::size_t end = 0;
    while (end < rest_.size()) {
      const auto byte = static_cast<unsigned char>(rest_[end]);
      const bool is_first = end == 0;
      if (!absl::ascii_isalpha(byte) && byte != '_' && !(may_have_colon && byte == ':') &&
          (is_first || !absl::ascii_isdigit(byte))) {
        break;
      }
      ++end;
    }
    return TakeBytes(end);
  }

  // A label's value, in quotes.
  std::optional<std::string> TakeQuoted() {
    if (!Take('"')) return std::nullopt;
    std::string value;
    while (!rest_.empty() && rest_.front() != '"') {
      char byte = rest_.front();
      rest_.remove_prefix(1);
      if (byte == '\\') {
        if (rest_.empty()) return std::nullopt;
        byte = rest_.front() == 'n' ? '\n' : rest_.front();
        if (byte != '\n' && byte != '\\' && byte != '"') return std::nullopt;
        rest_.remove_prefix(1);
      }
      value += byte;
    }
    if (!Take('"')) return std::nullopt;
    return value;
  }

  std::string TakeWord() { return TakeBytes(std::min(rest_.find_first_of(" \t"), rest_.size())); }

 private:
  std::string TakeBytes(std::size_t count) {
    std::string bytes(rest_.substr(0, count));
    rest_.remove_prefix(count);
    return bytes;
  }

  std::string_view rest_;
};

bool TakeLabels(LineReader& line, MetricLabels& labels) {
  if (!line.Take('{')) return true;
  for (;;) {
    line.SkipBlanks();
    if (line.Take('}')) return true;
    const std::string name = line.TakeName(/*may_have_colon=*/false);
    line.SkipBlanks();
    if (name.empty() || !line.Take('=')) return false;
    line.SkipBlanks();
    auto value = line.TakeQuoted();
    if (!value.has_value() || !labels.emplace(name, *std::move(value)).second) return false;
    line.SkipBlanks();
    if (!line.Take(',')) return line.Take('}');
  }
}

// "NaN", "+Inf" and the like are numbers to absl, too.
bool TakeSample(LineReader& line, std::string& name, Series& series) {
  name = line.TakeName(/*may_have_colon=*/true);
  if (name.empty()) return false;
  line.SkipBlanks();
  if (!TakeLabels(line, series.labels)) return false;
  line.SkipBlanks();
  if (!absl::SimpleAtod(line.TakeWord(), &series.value)) return false;
  line.SkipBlanks();
  std::int64_t time_ms = 0;
  return line.is_at_end() || (absl::SimpleAtoi(line.TakeWord(), &time_ms) && (line.SkipBlanks(), line.is_at_end()));
}

}  // namespace

absl::StatusOr<Scrape> Scrape::Parse(const std::string& text) {
  Scrape scrape;
  int line_number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    LineReader line(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    ++line_number;
    line.SkipBlanks();
    if (line.is_at_end() || line.Take('#')) continue;
    std::string name;
    Series series;
    if (!TakeSample(line, name, series)) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line_number, " is no sample of Prometheus' text format"));
    }
    scrape.series_[name].push_back(std::move(series));
  }
  return scrape;
}

const std::vector<Series>& Scrape::Of(const std::string& name) const {
  static const auto* const kNone = new std::vector<Series>();
  const auto found = series_.find(name);
  return found == series_.end() ? *kNone : found->second;
}

}  // namespace prefscore::cli
