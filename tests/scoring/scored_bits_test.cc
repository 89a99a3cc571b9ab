// SPDX-License-Identifier: Apache-2.0
// Same ids, same bits, through everything between a call and the models: batching of many callers, equal prompts and
// completions computed once, and the cache. Every log-prob of a token must be the one that a forward pass of its
// completion alone gives.
//
// PREFSCORE_SAME_BITS_CASES: completions to compare per model and dtype (default 400).
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "server/cache/log_prob_cache.h"
#include "server/models/decoder.h"
#include "server/models/numerics.h"
#include "server/scoring/scorer.h"
#include "tests/testing/decoder_shapes.h"
#include "tests/testing/random_groups.h"

namespace prefscore {
namespace {

using testing::DecoderShape;

int NumCases() {
  const char* wanted = std::getenv("PREFSCORE_SAME_BITS_CASES");
  return wanted == nullptr ? 400 : std::atoi(wanted);
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](double x, double y) {
           return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
         });
}

template <typename T>
const T& Pick(const std::vector<T>& values, std::mt19937& random) {
  return values[random() % values.size()];
}

class ScoredBitsTest : public ::testing::TestWithParam<std::tuple<DecoderShape, std::string>> {
 protected:
  static constexpr int kNumPrompts = 6, kNumCompletions = 8, kNumCallers = 4, kNumRounds = 4;

  void SetUp() override {
    const auto& [shape, dtype] = GetParam();
    if (const auto mode = NumericsMode(*ParsePrecision(dtype)); !mode.ok()) {
      GTEST_SKIP() << std::string(mode.status().message());
    }
    for (const std::uint32_t seed : {1, 2}) {
      const auto weights = testing::MakeRandomWeights(shape.config, seed, shape.with_biases);
      ModelInfo info{.digest = "weights " + std::to_string(seed),
                     .vocab_size = shape.config.vocab_size,
                     .max_context_tokens = shape.config.max_context_tokens};
      auto model = MakeDecoder(shape.config, weights->views, dtype, 2, std::move(info));
      ASSERT_TRUE(model.ok()) << std::string(model.status().message());
      models_.push_back({.name = "model " + std::to_string(seed), .lm = *std::move(model), .tokenizer = nullptr});
    }
    std::mt19937 random(5);
    for (int i = 0; i < kNumPrompts; ++i) {
      prompts_.push_back(testing::RandomTokens(random, i % 3 == 2 ? 90 : 25, shape.config.vocab_size));
    }
    for (int i = 0; i < kNumCompletions; ++i) {
      completions_.push_back(testing::RandomTokens(random, i % 4 == 3 ? 80 : 20, shape.config.vocab_size));
    }
    int num_greedy = 0;
    for (const HostedModel& model : models_) {
      completions_.push_back(testing::GreedyCompletion(*model.lm, prompts_[0], 3));
      completions_.push_back(testing::GreedyCompletion(*model.lm, prompts_[1], 1));
    }
    for (const HostedModel& model : models_) {
      for (const TokenIds& prompt : prompts_) {
        for (const TokenIds& completion : completions_) {
          const PromptGroup group{prompt, {completion}};
          auto alone = model.lm->Forward(std::vector<const PromptGroup*>{&group});
          ASSERT_TRUE(alone.ok());
          num_greedy += (*alone)[0][0].is_greedy_match ? 1 : 0;
          alone_[{&model, prompt, completion}] = (*alone)[0][0];
        }
      }
    }
    ASSERT_GE(num_greedy, 4) << "of both models after both prompts";
  }

  // Scores random calls and compares until that many cases were met; a caller of its own thread.
  void CallAndCompare(Scorer& scorer, int num_cases, std::uint32_t seed) {
    std::mt19937 random(seed);
    while (num_cases_ < num_cases && !HasFailure()) {
      if (random() % 3 == 0) {
        ScoreCompletions(scorer, random);
      } else {
        ScorePairs(scorer, random);
      }
    }
  }

  void ScorePairs(Scorer& scorer, std::mt19937& random) {
    PairOptions options;
    options.policy = &Pick(models_, random);
    options.reference = &Pick(models_, random);
    options.cache_mode = RandomMode(random);
    options.cache_policy = random() % 2 == 0;
    std::vector<PairRequest> pairs;
    for (std::uint32_t i = 0; i < 1 + random() % 5; ++i) {
      PairRequest& pair = pairs.emplace_back();
      pair.content = PromptGroup{Pick(prompts_, random), {Pick(completions_, random), Pick(completions_, random)}};
    }
    absl::Notification done;
    scorer.ScorePairs(pairs, options, RandomCall(random), [&](absl::Status status, PairOutcomes outcomes) {
      EXPECT_TRUE(status.ok()) << std::string(status.message());
      for (std::size_t i = 0; i < outcomes.pairs.size(); ++i) {
        EXPECT_TRUE(outcomes.pairs[i].status.ok()) << std::string(outcomes.pairs[i].status.message());
        const auto& group = std::get<PromptGroup>(pairs[i].content);
        for (const std::size_t completion : {kChosen, kRejected}) {
          Compare(options.policy, group, completion, outcomes.pairs[i].token_logps[0][completion]);
          Compare(options.reference, group, completion, outcomes.pairs[i].token_logps[1][completion]);
        }
      }
      done.Notify();
    });
    done.WaitForNotification();
  }

  void ScoreCompletions(Scorer& scorer, std::mt19937& random) {
    CompletionOptions options;
    options.models = {&Pick(models_, random)};
    options.cache_mode = RandomMode(random);
    PromptGroup group{Pick(prompts_, random), {}};
    for (std::uint32_t i = 0; i < 1 + random() % 6; ++i) group.completions.push_back(Pick(completions_, random));
    absl::Notification done;
    scorer.ScoreCompletions({{.content = group}}, options, RandomCall(random),
                            [&](absl::Status status, GroupOutcomes outcomes) {
                              EXPECT_TRUE(status.ok()) << std::string(status.message());
                              for (const GroupOutcome& outcome : outcomes.prompts) {
                                EXPECT_TRUE(outcome.status.ok()) << std::string(outcome.status.message());
                                for (std::size_t i = 0; i < group.completions.size(); ++i) {
                                  const CompletionScore& score = outcome.scores[0][i];
                                  Compare(options.models[0], group, i, score.token_logps);
                                  EXPECT_EQ(score.is_greedy_match, Alone(options.models[0], group, i).is_greedy_match);
                                }
                              }
                              done.Notify();
                            });
    done.WaitForNotification();
  }

  void Compare(const HostedModel* model, const PromptGroup& group, std::size_t completion,
               const std::vector<double>& token_logps) {
    ++num_cases_;
    EXPECT_TRUE(SameBits(token_logps, Alone(model, group, completion).token_logps))
        << "prompt of " << group.prompt.size() << ", completion of " << group.completions[completion].size();
  }

  const CompletionLogProbs& Alone(const HostedModel* model, const PromptGroup& group, std::size_t completion) const {
    return alone_.at({model, group.prompt, group.completions[completion]});
  }

  static CacheMode RandomMode(std::mt19937& random) { return static_cast<CacheMode>(random() % 4); }

  static Call RandomCall(std::mt19937& random) {
    return {.priority = random() % 2 == 0 ? Priority::kInteractive : Priority::kBulk};
  }

  std::vector<HostedModel> models_;
  std::vector<TokenIds> prompts_, completions_;
  std::map<std::tuple<const HostedModel*, TokenIds, TokenIds>, CompletionLogProbs> alone_;
  std::atomic<int> num_cases_{0};
};

TEST_P(ScoredBitsTest, AreThoseOfACompletionAlone) {
  const std::string folder = ::testing::TempDir() + "scored_bits_" + std::to_string(::getpid());
  std::atomic<std::int64_t> num_hits = 0, num_saved_tokens = 0;
  for (int round = 0; round < kNumRounds; ++round) {  // each opens the cache anew
    CacheObserver cache_observer;
    cache_observer.on_lookup = [&](std::int64_t hits, std::int64_t, std::int64_t) { num_hits += hits; };
    LogProbCache cache({.folder = folder}, cache_observer);
    ScorerOptions options{.cache = &cache};
    options.scheduler.batch.max_tokens = round % 2 == 0 ? 4096 : 150;
    ScorerObserver observer;
    observer.on_forward = [&](const ForwardReport& report) { num_saved_tokens += report.num_tokens_saved; };
    Scorer scorer(options, observer);
    std::vector<std::thread> callers;
    for (int caller = 0; caller < kNumCallers; ++caller) {
      callers.emplace_back(
          [&, caller] { CallAndCompare(scorer, NumCases() * (round + 1) / kNumRounds, round * kNumCallers + caller); });
    }
    for (std::thread& caller : callers) caller.join();
  }
  std::filesystem::remove_all(folder);
  EXPECT_GE(num_cases_, NumCases());
  EXPECT_GT(num_hits, 0) << "the cache was never met";
  EXPECT_GT(num_saved_tokens, 0) << "nothing was ever shared";
  RecordProperty("num_cases", num_cases_);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ScoredBitsTest,
                         ::testing::Combine(::testing::ValuesIn(testing::AllShapes()),
                                            ::testing::Values("float32", "bfloat16")),
                         [](const auto& info) {
                           return std::get<0>(info.param).config.architecture + "_" + std::get<1>(info.param);
                         });

}  // namespace
}  // namespace prefscore
