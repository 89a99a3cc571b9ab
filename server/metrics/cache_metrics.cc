// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/cache_metrics.h"

#include "server/metrics/families.h"

namespace prefscore {
namespace {

constexpr const char* kErrorNames[] = {"open", "read", "checksum", "write"};                // as CacheError
constexpr const char* kStateNames[] = {"serving", "not_writing", "unavailable", "off"};  // as CacheState, and off
constexpr std::size_t kOff = 3;

}  // namespace

CacheMetrics::CacheMetrics(prometheus::Registry& registry) {
  auto& lookups = CounterFamily(registry, "prefscore_cache_lookups_total",
                                "Log-probs of completions that were looked up in the cache, by result: hit, miss, or late, where "
                                "the disk did not answer in time");
  hits_ = &lookups.Add({{"result", "hit"}});
  misses_ = &lookups.Add({{"result", "miss"}});
  late_ = &lookups.Add({{"result", "late"}});
  bytes_read_ = &CounterFamily(registry, "prefscore_cache_read_bytes_total", "Bytes of the entries that were hit")
                     .Add({});
  bytes_written_ =
      &CounterFamily(registry, "prefscore_cache_written_bytes_total", "Bytes of the entries that were written").Add({});
  auto& entries = CounterFamily(registry, "prefscore_cache_entries_total",
                                "Entries that were written, dropped before they could be, evicted to keep the size");
  entries_written_ = &entries.Add({{"event", "written"}});
  entries_dropped_ = &entries.Add({{"event", "dropped"}});
  entries_evicted_ = &entries.Add({{"event", "evicted"}});
  auto& errors = CounterFamily(registry, "prefscore_cache_errors_total",
                               "Faults of the cache, by what failed; none of them fails a call");
  for (std::size_t idx = 0; idx < errors_.size(); ++idx) errors_[idx] = &errors.Add({{"kind", kErrorNames[idx]}});
  stored_bytes_ = &prometheus::BuildGauge()
                       .Name("prefscore_cache_stored_bytes")
                       .Help("Size of the cache on disk, at most a second old while it is written")
                       .Register(registry)
                       .Add({});
  auto& states = prometheus::BuildGauge()
                     .Name("prefscore_cache_state")
                     .Help("1 for the state that the cache is in, 0 for the others")
                     .Register(registry);
  for (std::size_t idx = 0; idx < states_.size(); ++idx) states_[idx] = &states.Add({{"state", kStateNames[idx]}});
  SetState(kOff);
}

void CacheMetrics::SetState(std::size_t state) {
  for (std::size_t idx = 0; idx < states_.size(); ++idx) states_[idx]->Set(idx == state ? 1 : 0);
}

CacheObserver CacheMetrics::Observer() {
  CacheObserver observer;
  observer.on_lookup = [this](std::int64_t hits, std::int64_t misses, std::int64_t bytes) {
    hits_->Increment(static_cast<double>(hits));
    misses_->Increment(static_cast<double>(misses));
    bytes_read_->Increment(static_cast<double>(bytes));
  };
  observer.on_late = [this](std::int64_t entries) { late_->Increment(static_cast<double>(entries)); };
  observer.on_written = [this](std::int64_t entries, std::int64_t bytes) {
    entries_written_->Increment(static_cast<double>(entries));
    bytes_written_->Increment(static_cast<double>(bytes));
  };
  observer.on_dropped = [this](std::int64_t entries) { entries_dropped_->Increment(static_cast<double>(entries)); };
  observer.on_evicted = [this](std::int64_t entries) { entries_evicted_->Increment(static_cast<double>(entries)); };
  observer.on_error = [this](CacheError error) { errors_[static_cast<std::size_t>(error)]->Increment(); };
  observer.on_state = [this](CacheState state) { SetState(static_cast<std::size_t>(state)); };
  observer.on_stored_bytes = [this](std::int64_t bytes) { stored_bytes_->Set(static_cast<double>(bytes)); };
  return observer;
}

}  // namespace prefscore
