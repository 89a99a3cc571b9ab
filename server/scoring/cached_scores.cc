// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/cached_scores.h"

#include <utility>
#include <vector>

#include "server/scoring/completion_scores.h"

namespace prefscore {
namespace {

bool Reads(CacheMode mode) { return mode == CacheMode::kReadWrite || mode == CacheMode::kReadOnly; }
bool Writes(CacheMode mode) { return mode == CacheMode::kReadWrite || mode == CacheMode::kRefresh; }

void MakeKeys(GroupForward& forward) {
  const ModelInfo& info = forward.model->lm->info();
  for (const TokenIds& completion : forward.group->completions) {
    forward.cache_keys.push_back(MakeCacheKey(
        {.digest = info.digest, .numerics_mode = info.numerics_mode, .dtype = info.dtype}, forward.group->prompt,
        completion));
  }
}

}  // namespace

std::int64_t ReadFromCache(LogProbCache& cache, std::span<const std::shared_ptr<GroupJob>> jobs) {
  std::vector<CacheKey> keys;
  std::vector<GroupForward*> readers;
  for (const auto& job : jobs) {
    if (job == nullptr || job->cache_mode == CacheMode::kBypass) continue;
    for (GroupForward& forward : job->forwards) {
      if (!forward.uses_cache) continue;
      MakeKeys(forward);
      if (!Reads(job->cache_mode)) continue;
      keys.insert(keys.end(), forward.cache_keys.begin(), forward.cache_keys.end());
      readers.push_back(&forward);
    }
  }
  if (keys.empty()) return 0;
  std::vector<std::optional<CompletionLogProbs>> found = cache.Lookup(keys);
  auto next = found.begin();
  std::int64_t num_tokens_saved = 0;
  for (GroupForward* forward : readers) {
    const std::vector<TokenIds>& completions = forward->group->completions;
    forward->scores.resize(completions.size());
    for (std::size_t idx = 0; idx < completions.size(); ++idx, ++next) {
      if (!next->has_value() || (*next)->token_logps.size() != completions[idx].size()) continue;
      forward->scores[idx] = SumTokens(*std::move(*next));
      forward->scores[idx].is_from_cache = true;
    }
    num_tokens_saved += forward->group->num_tokens() - NumMissingTokens(*forward);
  }
  return num_tokens_saved;
}

void WriteToCache(LogProbCache& cache, const GroupJob& job) {
  if (!Writes(job.cache_mode)) return;
  for (const GroupForward& forward : job.forwards) {
    for (std::size_t idx = 0; idx < forward.cache_keys.size(); ++idx) {
      const CompletionScore& score = forward.scores[idx];
      if (score.is_from_cache || !CheckFinite(score, "").ok()) continue;
      cache.Store(forward.cache_keys[idx],
                  {.token_logps = score.token_logps, .is_greedy_match = score.is_greedy_match});
    }
  }
}

}  // namespace prefscore
