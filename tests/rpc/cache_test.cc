// SPDX-License-Identifier: Apache-2.0
// The cache of log-probs as a caller sees it.
#include "tests/rpc/rpc_test_base.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

class CacheTest : public RpcTestBase {
 protected:
  CacheTest() : log_prob_cache_({.folder = temp_.path().string(), .max_bytes = kMinStoreBytes}) {
    cache_ = &log_prob_cache_;
    Start();
  }
  ~CacheTest() override { StopServer(); }  // before the cache

  v1::PairResult Score(v1::ScorePairsRequest request) {
    *request.add_pairs() = IdPair({1, 2}, {3}, {4, 5});
    v1::ScorePairsResponse response;
    const grpc::Status status = ScorePairs(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.results_size(), 1);
    return response.results(0);
  }

  testing::TempFolder temp_;
  LogProbCache log_prob_cache_;
};

TEST_F(CacheTest, AResultTellsWhatWasCached) {
  const v1::PairResult first = Score({});
  EXPECT_FALSE(first.has_cached());
  v1::PairResult second = Score({});
  EXPECT_TRUE(second.cached().reference_chosen_logp() && second.cached().reference_rejected_logp());
  EXPECT_FALSE(second.cached().policy_chosen_logp() || second.cached().policy_rejected_logp());
  EXPECT_EQ(MetricValue("prefscore_tokens_total", {{"kind", "saved_by_cache"}}), 2 + 1 + 2);
  second.clear_cached();
  EXPECT_EQ(second.SerializeAsString(), first.SerializeAsString());

  v1::ScorePairsRequest request;
  request.mutable_options()->set_cache_policy(true);
  Score(request);
  EXPECT_TRUE(Score(request).cached().policy_chosen_logp());
  EXPECT_TRUE(Score(request).cached().policy_rejected_logp());
  request.mutable_options()->set_cache_mode(v1::CACHE_MODE_BYPASS);
  EXPECT_FALSE(Score(request).has_cached());
}

TEST_F(CacheTest, OfCompletionsOnlyTheServersReferenceIsCachedUnlessAsked) {
  v1::ScoreCompletionsRequest request;
  v1::PromptCompletions& prompt = *request.add_prompts();
  for (const std::uint32_t id : {1, 2}) prompt.mutable_prompt()->mutable_token_ids()->add_ids(id);
  prompt.add_completions()->mutable_token_ids()->add_ids(3);
  const auto from_cache = [&] {
    v1::ScoreCompletionsResponse response;
    grpc::ClientContext context;
    const grpc::Status status = scoring_->ScoreCompletions(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    const auto& logps = response.results(0).completions(0).logps();
    return std::make_pair(logps[0].from_cache(), logps[1].from_cache());  // policy, reference
  };
  EXPECT_EQ(from_cache(), std::make_pair(false, false));
  EXPECT_EQ(from_cache(), std::make_pair(false, true));
  request.set_cache_policy(true);
  EXPECT_EQ(from_cache(), std::make_pair(false, true));
  EXPECT_EQ(from_cache(), std::make_pair(true, true));
  request.set_cache_mode(v1::CACHE_MODE_REFRESH);
  EXPECT_EQ(from_cache(), std::make_pair(false, false));
}

TEST_F(CacheTest, AnUnknownModeNamesItsField) {
  v1::ScorePairsRequest pairs;
  *pairs.add_pairs() = IdPair({1}, {2}, {3});
  pairs.mutable_options()->set_cache_mode(static_cast<v1::CacheMode>(9));
  v1::ScorePairsResponse response;
  grpc::Status status = ScorePairs(pairs, &response);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).field, "options.cache_mode");

  v1::ScoreCompletionsRequest completions;
  completions.add_prompts();
  completions.set_cache_mode(static_cast<v1::CacheMode>(9));
  v1::ScoreCompletionsResponse completions_response;
  grpc::ClientContext context;
  status = scoring_->ScoreCompletions(&context, completions, &completions_response);
  EXPECT_EQ(DetailsOf(status).field, "cache_mode");
}

}  // namespace
}  // namespace prefscore
