// SPDX-License-Identifier: Apache-2.0
// Between a call's jobs and the cache of log-probs: what is read before queueing, and what is kept afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "server/cache/log_prob_cache.h"
#include "server/scoring/group_job.h"

namespace prefscore {

// Sets the scores that the cache knows, and the keys of all forwards that use it, as each job's mode has it. One lookup
// for all jobs; null ones are passed over. Returns how many tokens need not be computed.
std::int64_t ReadFromCache(LogProbCache& cache, std::span<const std::shared_ptr<GroupJob>> jobs);

// Stores what was computed for the job, as its mode has it; nothing that is not finite.
void WriteToCache(LogProbCache& cache, const GroupJob& job);

}  // namespace prefscore
