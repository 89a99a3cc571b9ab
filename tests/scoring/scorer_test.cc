// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/scorer.h"

#include <atomic>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"
#include "tests/testing/fake_model.h"
#include "tests/testing/fake_tokenizer.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kPolicyWeight = 0.25;
constexpr double kReferenceWeight = 0.5;

// Log-prob of ids under a FakeModel of that weight.
double FakeLogp(double weight, const TokenIds& ids) {
  double logp = 0;
  for (const TokenId id : ids) logp += -weight * (id + 1.0);
  return logp;
}

class ScorerTest : public ::testing::Test {
 protected:
  ScorerTest()
      : policy_lm_(std::make_shared<testing::FakeModel>("p", kPolicyWeight)),
        reference_lm_(std::make_shared<testing::FakeModel>("r", kReferenceWeight)),
        policy_{.name = "policy", .lm = policy_lm_, .tokenizer = nullptr},
        reference_{.name = "reference", .lm = reference_lm_, .tokenizer = nullptr} {}

  void Start(ScorerOptions options = {}) {
    ScorerObserver observer;
    observer.on_forward = [this](const ForwardReport& report) {
      computed_ += report.num_tokens;
      saved_ += report.num_tokens_saved;
    };
    scorer_ = std::make_unique<Scorer>(std::move(options), std::move(observer));
  }

  PairOptions Options() {
    PairOptions options;
    options.policy = &policy_;
    options.reference = &reference_;
    options.objectives = {*Objective::Create({.name = "sigmoid"})};
    return options;
  }

  double LossOf(const PairInputs& inputs) {
    return Evaluate(Options().objectives[0], std::vector<PairInputs>{inputs})[0].loss;
  }

  static PairRequest Pair(TokenIds prompt, TokenIds chosen, TokenIds rejected) {
    return {.content = PromptGroup{std::move(prompt), {std::move(chosen), std::move(rejected)}}, .known = {}};
  }

  std::pair<absl::Status, std::vector<PairOutcome>> Score(std::vector<PairRequest> pairs, PairOptions options,
                                                          Call call = {}) {
    std::pair<absl::Status, std::vector<PairOutcome>> result;
    absl::Notification done;
    scorer_->ScorePairs(std::move(pairs), std::move(options), std::move(call),
                        [&](absl::Status status, PairOutcomes outcomes) {
                          result = {std::move(status), std::move(outcomes.pairs)};
                          batch_states_ = std::move(outcomes.batch_states);
                          done.Notify();
                        });
    done.WaitForNotification();
    return result;
  }

  std::shared_ptr<testing::FakeModel> policy_lm_;
  std::shared_ptr<testing::FakeModel> reference_lm_;
  HostedModel policy_;
  HostedModel reference_;
  std::int64_t computed_ = 0;
  std::int64_t saved_ = 0;
  std::vector<BatchState> batch_states_;
  std::unique_ptr<Scorer> scorer_;
};

TEST_F(ScorerTest, ScoresPairsInTheOrderOfTheCall) {
  Start();
  std::vector<PairRequest> pairs;
  for (TokenId id = 0; id < 50; ++id) pairs.push_back(Pair({1, 2, 3}, {id}, {id, 7}));
  const auto [status, outcomes] = Score(pairs, Options());
  ASSERT_TRUE(status.ok());
  ASSERT_EQ(outcomes.size(), 50u);
  for (TokenId id = 0; id < 50; ++id) {
    const PairOutcome& outcome = outcomes[id];
    ASSERT_TRUE(outcome.status.ok());
    EXPECT_EQ(outcome.inputs.logps.policy_chosen_logp, FakeLogp(kPolicyWeight, {id}));
    EXPECT_EQ(outcome.inputs.logps.policy_rejected_logp, FakeLogp(kPolicyWeight, {id, 7}));
    EXPECT_EQ(outcome.inputs.logps.reference_chosen_logp, FakeLogp(kReferenceWeight, {id}));
    EXPECT_EQ(outcome.inputs.logps.reference_rejected_logp, FakeLogp(kReferenceWeight, {id, 7}));
    ASSERT_EQ(outcome.objectives.size(), 1u);
    EXPECT_EQ(outcome.objectives[0].loss, LossOf(outcome.inputs));
  }
  EXPECT_EQ(computed_, 2 * (3 + 50 * (1 + 2))) << "the prompt once per model, for all pairs";
  EXPECT_EQ(saved_, 2 * (99 * 3));
}

TEST_F(ScorerTest, NothingThatIsKnownIsComputed) {
  Start();
  PairRequest pair = Pair({1}, {2}, {3});
  pair.known = {{{-1.0, -2.0}, {std::nullopt, -4.0}}};
  const auto [status, outcomes] = Score({pair}, Options());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(policy_lm_->num_forwards(), 0);
  EXPECT_EQ(computed_, 2) << "prompt and chosen completion under the reference";
  EXPECT_EQ(outcomes[0].inputs.logps.policy_rejected_logp, -2.0);
  EXPECT_EQ(outcomes[0].inputs.logps.reference_chosen_logp, FakeLogp(kReferenceWeight, {2}));
  EXPECT_EQ(outcomes[0].inputs.logps.reference_rejected_logp, -4.0);
  EXPECT_THAT(outcomes[0].token_logps[1][kChosen], ElementsAre(-kReferenceWeight * 3));
  EXPECT_TRUE(outcomes[0].token_logps[1][kRejected].empty());
}

TEST_F(ScorerTest, AFullyKnownPairRunsNoModel) {
  Start();
  PairRequest pair;
  pair.known = {{{-1.0, -2.0}, {-3.0, -4.0}}};
  const auto [status, outcomes] = Score({pair}, Options());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(outcomes[0].objectives[0].loss, LossOf({.logps = {-1, -2, -3, -4}}));
  EXPECT_EQ(policy_lm_->num_forwards() + reference_lm_->num_forwards(), 0);
}

TEST_F(ScorerTest, PolicyAndReferenceOfTheSameWeightsAreComputedOnce) {
  Start();
  PairOptions options = Options();
  HostedModel twin = policy_;
  twin.name = "twin";
  options.reference = &twin;
  const auto [status, outcomes] = Score({Pair({1}, {2}, {3})}, options);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(policy_lm_->num_forwards(), 1);
  EXPECT_EQ(ComputeMargins(outcomes[0].inputs.logps).chosen_logratio, 0.0);
}

TEST_F(ScorerTest, WithoutAReferenceNoneIsRun) {
  Start();
  PairOptions options = Options();
  options.reference = nullptr;
  options.objectives = {*Objective::Create({.name = "simpo"})};
  PairRequest known = Pair({1}, {2}, {3});
  known.known[0] = {-1.0, -2.0};  // and nothing of a reference
  PairRequest with_reference = Pair({1}, {2}, {3});
  with_reference.known[1] = {-3.0, -4.0};
  const auto [status, outcomes] = Score({Pair({1}, {2}, {3, 4}), known, with_reference}, options);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(reference_lm_->num_forwards(), 0);
  ASSERT_TRUE(outcomes[0].status.ok()) << outcomes[0].status;
  EXPECT_TRUE(std::isnan(outcomes[0].inputs.logps.reference_chosen_logp));
  EXPECT_EQ(outcomes[0].inputs.num_rejected_tokens, 2);
  EXPECT_NEAR(outcomes[0].objectives[0].logit, 0.1 * (-0.75 - (-2.25 / 2)) - 0.5, 1e-15);
  EXPECT_EQ(FieldOf(outcomes[1].status), "num_chosen_tokens") << "nothing was tokenised";
  EXPECT_EQ(outcomes[2].inputs.logps.reference_chosen_logp, -3.0);
}

TEST_F(ScorerTest, TokenLogProbsReachTheObjectiveThatReadsThem) {
  Start();
  PairOptions options = Options();
  options.objectives = {*Objective::Create({.name = "ld_dpo", .parameters = {{"ld_alpha", 0.25}}})};
  PairRequest known = Pair({1}, {2}, {3, 4, 5});
  known.known[1][kRejected] = -4.0;
  const auto [status, outcomes] = Score({Pair({1}, {2}, {3, 4, 5}), known}, options);
  ASSERT_TRUE(outcomes[0].status.ok()) << outcomes[0].status;
  // One shared token; of the rejected completion's tail of two tokens a quarter counts.
  const double policy_rejected = -kPolicyWeight * (4 + 0.25 * (5 + 6));
  const double reference_rejected = -kReferenceWeight * (4 + 0.25 * (5 + 6));
  EXPECT_NEAR(outcomes[0].objectives[0].logit,
              0.1 * ((-kPolicyWeight * 3 - policy_rejected) - (-kReferenceWeight * 3 - reference_rejected)), 1e-15);
  EXPECT_EQ(FieldOf(outcomes[1].status), "token_logps.reference_rejected");
}

TEST_F(ScorerTest, TheScoredPairsOfACallAreTheBatch) {
  Start();
  policy_lm_->PoisonToken(9);
  PairOptions options = Options();
  options.objectives = {*Objective::Create({.name = "sigmoid"}), *Objective::Create({.name = "kto_pair"})};
  const auto [status, outcomes] = Score({Pair({1}, {2}, {3}), Pair({1}, {9}, {3}), Pair({1}, {5}, {8})}, options);
  ASSERT_TRUE(status.ok());
  EXPECT_FALSE(outcomes[1].status.ok());
  ASSERT_EQ(batch_states_.size(), 2u);
  EXPECT_TRUE(batch_states_[0].empty());
  const double mean_chosen_reward = 0.1 * (kReferenceWeight - kPolicyWeight) * (3 + 6) / 2;
  EXPECT_NEAR(batch_states_[1].at("kl_chosen"), mean_chosen_reward, 1e-15);
}

TEST_F(ScorerTest, AFaultyPairFailsAlone) {
  Start();
  policy_lm_->PoisonToken(9);
  PairRequest bad_known = Pair({1}, {2}, {3});
  bad_known.known[0][kChosen] = 0.5;
  const auto [status, outcomes] = Score({Pair({1}, {2}, {3}), Pair({1}, {}, {3}), Pair({1}, {2}, {300}),
                                         Pair({1}, {9}, {3}), bad_known, Pair({1}, {4}, {3})},
                                        Options());
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(outcomes[0].status.ok());
  EXPECT_EQ(FieldOf(outcomes[1].status), "chosen");
  EXPECT_EQ(FieldOf(outcomes[2].status), "rejected");
  EXPECT_THAT(std::string(outcomes[2].status.message()), HasSubstr("token id 300 at position 0"));
  EXPECT_EQ(outcomes[3].status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(outcomes[3].status.message()), HasSubstr("policy, chosen: the log-prob of token 0 is nan"));
  EXPECT_EQ(FieldOf(outcomes[4].status), "known.policy_chosen_logp");
  EXPECT_TRUE(outcomes[5].status.ok());
}

TEST_F(ScorerTest, AFailingForwardIsTheStatusOfItsPairs) {
  Start();
  policy_lm_->FailWith(absl::UnavailableError("device is lost"));
  const auto [status, outcomes] = Score({Pair({1}, {2}, {3}), Pair({1}, {4}, {5})}, Options());
  ASSERT_TRUE(status.ok());
  for (const PairOutcome& outcome : outcomes) {
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInternal) << "UNAVAILABLE is a server that stops";
    EXPECT_THAT(std::string(outcome.status.message()),
                HasSubstr("the forward pass of model 'policy' failed: device is lost"));
  }
}

TEST_F(ScorerTest, AFaultNamesTheCompletionThatWasSent) {
  Start();
  PairRequest rejected_only = Pair({1}, {300}, {300});  // rejected stands in for chosen
  rejected_only.is_sent = {false, true};
  rejected_only.known = {{{-1.0, std::nullopt}, {-2.0, std::nullopt}}};
  PairRequest chosen_only = rejected_only;
  chosen_only.is_sent = {true, false};
  chosen_only.known = {{{std::nullopt, -1.0}, {std::nullopt, -2.0}}};
  const auto [status, outcomes] = Score({rejected_only, chosen_only}, Options());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(FieldOf(outcomes[0].status), "rejected");
  EXPECT_EQ(FieldOf(outcomes[1].status), "chosen");
}

TEST_F(ScorerTest, TextNeedsATokenizer) {
  Start();
  PairRequest text;
  text.content = TextGroup{.prompt = "a", .completions = {"b", "c"}, .tools_json = "", .chat_template_kwargs_json = ""};
  const auto [status, outcomes] = Score({text}, Options());
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(outcomes[0].status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ScorerTest, ACallThatIsOverEndsAsAWhole) {
  Start();
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options(), {.deadline = absl::InfinitePast()}).first.code(),
            absl::StatusCode::kDeadlineExceeded);
  const auto cancellation = std::make_shared<Cancellation>();
  scorer_->Cancel(*cancellation);
  Call cancelled;
  cancelled.cancellation = cancellation;
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options(), cancelled).first.code(),
            absl::StatusCode::kCancelled);
  EXPECT_EQ(policy_lm_->num_forwards(), 0);
  EXPECT_TRUE(scorer_->Drain(absl::Seconds(60)));
  EXPECT_EQ(Score({Pair({1}, {2}, {3})}, Options()).first.code(), absl::StatusCode::kUnavailable);
}

TEST_F(ScorerTest, CompletionsShareEqualPromptsAndKeepTheirOrder) {
  Start();
  absl::Notification done;
  std::vector<GroupOutcome> outcomes;
  CompletionOptions options;
  options.models = {&policy_, &reference_};
  scorer_->ScoreCompletions({{PromptGroup{{1, 2}, {{5}, {6, 7}, {8}}}}}, options, {},
                            [&](absl::Status status, GroupOutcomes found) {
                              EXPECT_TRUE(status.ok());
                              outcomes = std::move(found.prompts);
                              done.Notify();
                            });
  done.WaitForNotification();
  ASSERT_EQ(outcomes.size(), 1u);
  ASSERT_EQ(outcomes[0].scores.size(), 2u);
  EXPECT_EQ(outcomes[0].scores[0][0].logp, FakeLogp(kPolicyWeight, {5}));
  EXPECT_EQ(outcomes[0].scores[0][1].logp, FakeLogp(kPolicyWeight, {6, 7}));
  EXPECT_EQ(outcomes[0].scores[1][2].logp, FakeLogp(kReferenceWeight, {8}));
  EXPECT_EQ(computed_, 2 * (2 + 1 + 2 + 1));
}

TEST_F(ScorerTest, AFaultNamesTheCompletionAsItWasSentWhateverWasMerged) {
  Start();
  policy_lm_->PoisonToken(9);
  absl::Notification done;
  std::vector<GroupOutcome> outcomes;
  CompletionOptions options;
  options.models = {&policy_};
  scorer_->ScoreCompletions({{PromptGroup{{1, 2}, {{5}, {5}, {6}, {9, 6}}}}}, options, {},
                            [&](absl::Status, GroupOutcomes found) {
                              outcomes = std::move(found.prompts);
                              done.Notify();
                            });
  done.WaitForNotification();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_THAT(std::string(outcomes[0].status.message()), HasSubstr("policy, completions[3]: the log-prob of token 0"));
  ASSERT_EQ(outcomes[0].completions.size(), 4u);
  EXPECT_EQ(outcomes[0].completions[3].num_prompt_tokens, 2);
  EXPECT_EQ(outcomes[0].completions[3].num_completion_tokens, 2);
}

// The nth pass throws: its batch fails, the next one succeeds.
TEST_F(ScorerTest, AnExceptionInAPassEndsItsBatchOnly) {
  std::atomic<int> num_passes{0};
  policy_lm_->CheckWith([&](auto) -> absl::Status {
    if (++num_passes == 2) throw std::runtime_error("the device stumbles");
    return absl::OkStatus();
  });
  Start();
  for (int call = 1; call <= 3; ++call) {
    const auto [status, outcomes] = Score({Pair({1}, {2}, {3})}, Options());
    ASSERT_TRUE(status.ok());
    EXPECT_EQ(outcomes[0].status.code(), call == 2 ? absl::StatusCode::kInternal : absl::StatusCode::kOk);
  }
}

// Whatever is called between arrival and answer: content that is read on the tokenizer threads, scores on the scheduler's.
TEST_F(ScorerTest, AnExceptionOfATokenizerThreadEndsItsPairOnly) {
  const auto tokenizer = std::make_shared<testing::FakeTokenizer>("t");
  tokenizer->ThrowAt("trouble");
  policy_.tokenizer = reference_.tokenizer = tokenizer;
  Start();
  const auto text_pair = [](const std::string& chosen) {
    return PairRequest{.content = TextGroup{.prompt = "p", .completions = {chosen, "r"}}, .known = {}};
  };
  const auto [status, outcomes] = Score({text_pair("trouble"), text_pair("c")}, Options());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(outcomes[0].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(outcomes[0].status.message()), HasSubstr("reading the content failed: trouble"));
  EXPECT_TRUE(outcomes[1].status.ok()) << outcomes[1].status;
}

}  // namespace
}  // namespace prefscore
