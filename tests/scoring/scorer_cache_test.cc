// SPDX-License-Identifier: Apache-2.0
// The scorer with a cache of log-probs: what is computed, what is not, and that the bits are the same.
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/cache/log_prob_cache.h"
#include "server/scoring/scorer.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;

class ScorerCacheTest : public ::testing::Test {
 protected:
  // A scorer that has computed nothing yet, on what the folder holds.
  void Start() {
    scorer_.reset();
    cache_.reset();
    policy_lm_ = std::make_shared<testing::FakeModel>("p", 0.1);
    reference_lm_ = std::make_shared<testing::FakeModel>("r", 0.3);
    policy_ = {.name = "policy", .lm = policy_lm_, .tokenizer = nullptr};
    reference_ = {.name = "reference", .lm = reference_lm_, .tokenizer = nullptr};
    computed_ = cached_ = hits_ = lookups_ = 0;
    CacheObserver cache_observer;
    cache_observer.on_lookup = [this](auto hits, auto misses, auto) {
      hits_ += hits;
      lookups_ += hits + misses;
    };
    cache_ = std::make_unique<LogProbCache>(
        LogProbCacheOptions{.folder = temp_.path().string(), .max_bytes = kMinStoreBytes}, cache_observer);
    ScorerObserver observer;
    observer.on_forward = [this](const ForwardReport& report) { computed_ += report.num_tokens; };
    observer.on_cached_tokens = [this](std::int64_t saved) { cached_ += saved; };
    ScorerOptions options;
    options.cache = cache_.get();
    scorer_ = std::make_unique<Scorer>(std::move(options), std::move(observer));
  }
  ~ScorerCacheTest() override {
    scorer_.reset();
    cache_.reset();
  }

  PairOptions Options(CacheMode mode = CacheMode::kReadWrite, bool cache_policy = false) {
    PairOptions options;
    options.policy = &policy_;
    options.reference = &reference_;
    options.objectives = {*Objective::Create({.name = "sigmoid"})};
    options.cache_mode = mode;
    options.cache_policy = cache_policy;
    return options;
  }

  static PairRequest Pair(TokenIds prompt, TokenIds chosen, TokenIds rejected) {
    return {.content = PromptGroup{std::move(prompt), {std::move(chosen), std::move(rejected)}}, .known = {}};
  }

  std::vector<PairOutcome> Score(std::vector<PairRequest> pairs, PairOptions options) {
    std::vector<PairOutcome> result;
    absl::Notification done;
    scorer_->ScorePairs(std::move(pairs), std::move(options), {}, [&](absl::Status status, PairOutcomes outcomes) {
      EXPECT_TRUE(status.ok()) << status;
      result = std::move(outcomes.pairs);
      done.Notify();
    });
    done.WaitForNotification();
    return result;
  }

  std::vector<GroupOutcome> ScoreGroups(std::vector<GroupRequest> groups, CompletionOptions options) {
    std::vector<GroupOutcome> result;
    absl::Notification done;
    scorer_->ScoreCompletions(std::move(groups), std::move(options), {},
                              [&](absl::Status status, GroupOutcomes outcomes) {
                                EXPECT_TRUE(status.ok()) << status;
                                result = std::move(outcomes.prompts);
                                done.Notify();
                              });
    done.WaitForNotification();
    return result;
  }

  static void ExpectSameNumbers(const PairOutcome& a, const PairOutcome& b) {
    EXPECT_EQ(a.inputs.logps.policy_chosen_logp, b.inputs.logps.policy_chosen_logp);
    EXPECT_EQ(a.inputs.logps.policy_rejected_logp, b.inputs.logps.policy_rejected_logp);
    EXPECT_EQ(a.inputs.logps.reference_chosen_logp, b.inputs.logps.reference_chosen_logp);
    EXPECT_EQ(a.inputs.logps.reference_rejected_logp, b.inputs.logps.reference_rejected_logp);
    EXPECT_EQ(a.token_logps, b.token_logps);
    ASSERT_EQ(a.objectives.size(), b.objectives.size());
    EXPECT_EQ(a.objectives[0].loss, b.objectives[0].loss);
  }

  testing::TempFolder temp_;
  std::shared_ptr<testing::FakeModel> policy_lm_;
  std::shared_ptr<testing::FakeModel> reference_lm_;
  HostedModel policy_;
  HostedModel reference_;
  std::int64_t computed_ = 0;
  std::int64_t cached_ = 0;
  std::int64_t hits_ = 0;
  std::int64_t lookups_ = 0;
  std::unique_ptr<LogProbCache> cache_;
  std::unique_ptr<Scorer> scorer_;
};

using Cached = std::array<std::array<bool, 2>, 2>;
constexpr Cached kNone = {};
constexpr Cached kReference = {{{false, false}, {true, true}}};
constexpr Cached kAll = {{{true, true}, {true, true}}};

TEST_F(ScorerCacheTest, TheReferenceIsComputedOnceForAllCallsAndRestarts) {
  Start();
  const std::vector<PairRequest> pairs = {Pair({1, 2}, {3, 4}, {5}), Pair({6}, {7}, {8, 9})};
  const auto first = Score(pairs, Options());
  EXPECT_EQ(first[0].is_from_cache, kNone);
  EXPECT_EQ(reference_lm_->num_forwards(), 1);
  EXPECT_EQ(lookups_, 4);
  EXPECT_EQ(computed_, 2 * 9);

  const auto second = Score(pairs, Options());
  EXPECT_EQ(reference_lm_->num_forwards(), 1);
  EXPECT_EQ(policy_lm_->num_forwards(), 2) << "the policy's are not cached unless asked";
  EXPECT_EQ(hits_, 4);
  EXPECT_EQ(cached_, 9);
  EXPECT_EQ(computed_, 3 * 9);

  Start();
  const auto third = Score(pairs, Options());
  EXPECT_EQ(reference_lm_->num_forwards(), 0);
  for (const std::size_t idx : {0, 1}) {
    EXPECT_EQ(second[idx].is_from_cache, kReference);
    EXPECT_EQ(third[idx].is_from_cache, kReference);
    ExpectSameNumbers(first[idx], second[idx]);
    ExpectSameNumbers(first[idx], third[idx]);
  }
}

TEST_F(ScorerCacheTest, APairThatIsCachedWhollyNeverWaits) {
  Start();
  const auto first = Score({Pair({1}, {2}, {3})}, Options(CacheMode::kReadWrite, true));
  const auto busy_lm = std::make_shared<testing::FakeModel>("b", 1.0);
  absl::Notification gate, busy_done;
  busy_lm->BlockOn(&gate);  // from now on, the device computes nothing else
  const HostedModel busy{.name = "busy", .lm = busy_lm, .tokenizer = nullptr};
  CompletionOptions busy_options;
  busy_options.models = {&busy};
  busy_options.cache_mode = CacheMode::kBypass;
  scorer_->ScoreCompletions({{.content = PromptGroup{{1}, {{2}}}}}, busy_options, {},
                            [&](absl::Status, GroupOutcomes) { busy_done.Notify(); });
  const auto second = Score({Pair({1}, {2}, {3})}, Options(CacheMode::kReadWrite, true));
  EXPECT_FALSE(busy_done.HasBeenNotified());
  gate.Notify();
  busy_done.WaitForNotification();
  EXPECT_EQ(second[0].is_from_cache, kAll);
  EXPECT_EQ(policy_lm_->num_forwards() + reference_lm_->num_forwards(), 2);
  ExpectSameNumbers(first[0], second[0]);
}

TEST_F(ScorerCacheTest, OnlyWhatIsMissingIsComputed) {
  Start();
  Score({Pair({1, 2, 3}, {4}, {5})}, Options());
  computed_ = 0;
  const auto outcomes = Score({Pair({1, 2, 3}, {5}, {6, 7})}, Options());
  EXPECT_EQ(outcomes[0].is_from_cache, (Cached{{{false, false}, {true, false}}})) << "chosen now, rejected before";
  EXPECT_EQ(computed_, (3 + 1 + 2) + (3 + 2));
  EXPECT_EQ(outcomes[0].inputs.logps.reference_chosen_logp, -0.3 * 6);
  EXPECT_THAT(outcomes[0].token_logps[1][kRejected], ElementsAre(-0.3 * 7, -0.3 * 8));
}

TEST_F(ScorerCacheTest, EveryModeReadsAndWritesAsItSays) {
  Start();
  const PairRequest pair = Pair({1}, {2}, {3});
  const auto forwards = [this] { return reference_lm_->num_forwards(); };
  Score({pair}, Options(CacheMode::kReadOnly));
  Score({pair}, Options(CacheMode::kReadOnly));
  EXPECT_EQ(forwards(), 2) << "read only stores nothing";
  Score({pair}, Options(CacheMode::kBypass));
  const std::int64_t lookups = lookups_;
  Score({pair}, Options(CacheMode::kBypass));
  EXPECT_EQ(forwards(), 4) << "bypass stores nothing";
  EXPECT_EQ(lookups_, lookups) << "bypass does not look";
  Score({pair}, Options(CacheMode::kRefresh));
  EXPECT_EQ(Score({pair}, Options(CacheMode::kReadOnly))[0].is_from_cache, kReference);
  EXPECT_EQ(forwards(), 5) << "refresh stores, read only reads";
  EXPECT_EQ(Score({pair}, Options(CacheMode::kBypass))[0].is_from_cache, kNone);
  EXPECT_EQ(Score({pair}, Options(CacheMode::kRefresh))[0].is_from_cache, kNone);
  EXPECT_EQ(forwards(), 7) << "bypass and refresh compute";

  // What is wrong in the cache stays wrong for those who read, until it is refreshed.
  const CacheKey key = MakeCacheKey({"r", "fake-1", "float32"}, {1}, {2});
  cache_->Store(key, {.token_logps = {-99}});
  EXPECT_EQ(Score({pair}, Options())[0].inputs.logps.reference_chosen_logp, -99);
  EXPECT_EQ(Score({pair}, Options(CacheMode::kRefresh))[0].inputs.logps.reference_chosen_logp, -0.3 * 3);
  EXPECT_EQ(Score({pair}, Options())[0].inputs.logps.reference_chosen_logp, -0.3 * 3);
}

TEST_F(ScorerCacheTest, NeitherKnownNorNonFiniteLogProbsAreStored) {
  Start();
  PairRequest known = Pair({1}, {2}, {3});
  known.known[1] = {-7.0, -8.0};
  Score({known}, Options());
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options())[0].inputs.logps.reference_chosen_logp, -0.3 * 3);
  reference_lm_->PoisonToken(9);
  for (int round = 0; round < 2; ++round) {
    const int forwards = reference_lm_->num_forwards();
    const auto outcomes = Score({Pair({1}, {9}, {4})}, Options());
    EXPECT_EQ(outcomes[0].status.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(reference_lm_->num_forwards(), forwards + 1);
  }
}

TEST_F(ScorerCacheTest, AnotherModelOrArithmeticSharesNothing) {
  Start();
  Score({Pair({1}, {2}, {3})}, Options());
  reference_lm_->mutable_info().dtype = "bfloat16";
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options())[0].is_from_cache, kNone);
  reference_lm_->mutable_info().numerics_mode = "fake-2";
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options())[0].is_from_cache, kNone);
  reference_lm_->mutable_info().digest = "another";
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options())[0].is_from_cache, kNone);
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options())[0].is_from_cache, kReference);
}

TEST_F(ScorerCacheTest, CompletionsAndPairsShareWhatIsCached) {
  Start();
  Score({Pair({1, 2}, {3}, {4, 5})}, Options());
  const std::vector<GroupRequest> groups = {{PromptGroup{{1, 2}, {{6}, {4, 5}, {3}}}}};
  CompletionOptions options;
  options.models = {&policy_, &reference_};
  options.cached_model = &reference_;
  const auto outcomes = ScoreGroups(groups, options);
  const auto from_cache = [](const std::vector<CompletionScore>& scores) {
    std::vector<bool> flags;
    for (const CompletionScore& score : scores) flags.push_back(score.is_from_cache);
    return flags;
  };
  EXPECT_THAT(from_cache(outcomes[0].scores[0]), ElementsAre(false, false, false));
  EXPECT_THAT(from_cache(outcomes[0].scores[1]), ElementsAre(false, true, true));
  EXPECT_EQ(outcomes[0].scores[1][0].logp, -0.3 * 7);
  EXPECT_EQ(outcomes[0].scores[1][2].logp, -0.3 * 4);
  options.cached_model = nullptr;
  ScoreGroups(groups, options);
  const auto all = ScoreGroups(groups, options);
  EXPECT_THAT(from_cache(all[0].scores[0]), ElementsAre(true, true, true));
  EXPECT_THAT(from_cache(all[0].scores[1]), ElementsAre(true, true, true));
}

// The fake model's greedy decoding gives token 0 for ever.
TEST_F(ScorerCacheTest, TheGreedyMatchIsCachedToo) {
  Start();
  const std::vector<GroupRequest> groups = {{PromptGroup{{1, 2}, {{0}, {0, 5}, {0, 0}}}}};
  CompletionOptions options;
  options.models = {&policy_};
  for (const bool is_cached : {false, true}) {
    const auto outcomes = ScoreGroups(groups, options);
    std::vector<bool> greedy;
    for (const CompletionScore& score : outcomes[0].scores[0]) {
      EXPECT_EQ(score.is_from_cache, is_cached);
      greedy.push_back(score.is_greedy_match);
    }
    EXPECT_THAT(greedy, ElementsAre(true, false, true));
  }
}

TEST_F(ScorerCacheTest, ABatchComputesEqualContentOnce) {
  Start();
  const auto outcomes = Score({Pair({1, 2}, {3}, {4}), Pair({1, 2}, {4}, {3}), Pair({1, 2}, {3}, {5})}, Options());
  EXPECT_EQ(computed_, 2 * (2 + 3));
  EXPECT_EQ(outcomes[0].inputs.logps.reference_chosen_logp, outcomes[1].inputs.logps.reference_rejected_logp);
  EXPECT_EQ(outcomes[0].token_logps[0][kChosen], outcomes[2].token_logps[0][kChosen]);
  EXPECT_THAT(outcomes[2].token_logps[1][kRejected], ElementsAre(-0.3 * 6));
}

}  // namespace
}  // namespace prefscore
