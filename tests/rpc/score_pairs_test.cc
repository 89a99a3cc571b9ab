// SPDX-License-Identifier: Apache-2.0
// ScorePairs over a real connection: numbers, provenance, and that one pair's fault is that pair's alone.
#include "tests/rpc/rpc_test_base.h"

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ScorePairsTest : public RpcTestBase {
 protected:
  // The result of `pair` alone.
  v1::PairResult Score(const v1::PreferencePair& pair, const v1::ScoringOptions& options = {}) {
    v1::ScorePairsRequest request;
    *request.add_pairs() = pair;
    *request.mutable_options() = options;
    v1::ScorePairsResponse response;
    const grpc::Status status = ScorePairs(request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.results_size() == 1 ? response.results(0) : v1::PairResult();
  }

  // `bad` between two good pairs: the good ones are scored, `bad` has INVALID_ARGUMENT with a violation of `field` and
  // a message that contains `part`.
  void ExpectPairFault(const v1::PreferencePair& bad, const std::string& field, const std::string& part,
                       const v1::ScoringOptions& options = {}) {
    v1::ScorePairsRequest request;
    *request.add_pairs() = IdPair({5}, {1}, {2});
    *request.add_pairs() = bad;
    *request.add_pairs() = IdPair({5}, {3}, {4});
    *request.mutable_options() = options;
    v1::ScorePairsResponse response;
    const grpc::Status status = ScorePairs(request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.results_size(), 3);
    EXPECT_FALSE(response.results(0).has_status());
    EXPECT_EQ(response.results(0).policy_chosen_logp(), -0.5);
    EXPECT_FALSE(response.results(2).has_status());
    EXPECT_EQ(response.results(2).reference_rejected_logp(), -2.5);
    const google::rpc::Status& fault = response.results(1).status();
    EXPECT_EQ(fault.code(), grpc::INVALID_ARGUMENT) << fault.message();
    EXPECT_EQ(DetailsOf(fault).field, "pairs[1]." + field) << fault.message();
    EXPECT_EQ(DetailsOf(fault).reason, "INVALID_FIELD");
    EXPECT_THAT(fault.message(), AllOf(HasSubstr("pairs[1]." + field), HasSubstr(part)));
    EXPECT_EQ(response.results(1).id(), bad.id());
    EXPECT_EQ(response.results(1).index(), 1);
    EXPECT_EQ(response.results(1).policy_chosen_logp(), 0);
  }
};

TEST_F(ScorePairsTest, GivesNumbersAndWhereTheyComeFrom) {
  Start();
  v1::PreferencePair pair = IdPair({5, 6, 7}, {3, 1}, {9});
  pair.set_id("seven");
  v1::ScoringOptions options;
  options.set_return_token_logps(true);
  options.set_return_token_ids(true);
  auto* objective = options.add_objectives();
  objective->set_name("sigmoid");
  objective->set_beta(0.5);
  objective->set_gamma(0);
  options.add_objectives()->set_name("margin_hinge");
  const v1::PairResult result = Score(pair, options);

  EXPECT_FALSE(result.has_status());
  EXPECT_EQ(result.id(), "seven");
  EXPECT_EQ(result.policy_chosen_logp(), -1.5);       // 0.25 * (4 + 2)
  EXPECT_EQ(result.policy_rejected_logp(), -2.5);     // 0.25 * 10
  EXPECT_EQ(result.reference_chosen_logp(), -3.0);    // twice
  EXPECT_EQ(result.reference_rejected_logp(), -5.0);
  EXPECT_EQ(result.chosen_logratio(), 1.5);
  EXPECT_EQ(result.rejected_logratio(), 2.5);
  EXPECT_EQ(result.policy_margin(), 1.0);
  EXPECT_EQ(result.reference_margin(), 2.0);
  EXPECT_EQ(result.num_prompt_tokens(), 3);
  EXPECT_EQ(result.num_chosen_tokens(), 2);
  EXPECT_EQ(result.num_rejected_tokens(), 1);
  ASSERT_EQ(result.objectives_size(), 2);
  EXPECT_EQ(result.objectives(0).name(), "sigmoid");
  EXPECT_EQ(result.objectives(0).beta(), 0.5);
  EXPECT_EQ(result.objectives(0).gamma(), 0);
  EXPECT_EQ(result.objectives(0).logit(), 0.5);
  EXPECT_EQ(result.objectives(0).chosen_reward(), -0.75);
  EXPECT_EQ(result.objectives(0).rejected_reward(), -1.25);
  EXPECT_NEAR(result.objectives(0).loss(), std::log1p(std::exp(-0.5)), 1e-15);
  EXPECT_EQ(result.objectives(1).name(), "margin_hinge");
  EXPECT_EQ(result.objectives(1).gamma(), result.objectives(1).beta()) << "gamma defaults to beta";
  EXPECT_THAT(result.token_logps().policy_chosen(), ElementsAre(-1.0f, -0.5f));
  EXPECT_THAT(result.token_logps().reference_rejected(), ElementsAre(-5.0f));
  EXPECT_THAT(result.token_ids().prompt(), ElementsAre(5, 6, 7));
  EXPECT_THAT(result.token_ids().rejected(), ElementsAre(9));
  EXPECT_EQ(result.policy_digest(), "digest-policy");
  EXPECT_EQ(result.reference_digest(), "digest-reference");
  EXPECT_EQ(result.numerics_mode(), "fake-1");
  EXPECT_EQ(result.tokenizer_fingerprint(), "") << "ids were sent";
  EXPECT_FALSE(result.has_tokenization());
}

TEST_F(ScorePairsTest, DefaultsAreSigmoidWithoutExtras) {
  Start();
  const v1::PairResult result = Score(IdPair({5}, {3}, {9}));
  ASSERT_EQ(result.objectives_size(), 1);
  EXPECT_EQ(result.objectives(0).name(), "sigmoid");
  EXPECT_EQ(result.objectives(0).beta(), 0.1);
  EXPECT_EQ(result.objectives(0).gamma(), 0.1);
  EXPECT_FALSE(result.has_token_logps());
  EXPECT_FALSE(result.has_token_ids());
}

TEST_F(ScorePairsTest, AnObjectiveWithoutReferenceRunsNone) {
  Start();
  v1::ScoringOptions options;
  options.add_objectives()->set_name("simpo");
  const v1::PairResult result = Score(IdPair({5}, {3}, {9}), options);
  EXPECT_FALSE(result.has_status()) << result.status().message();
  EXPECT_EQ(reference_->num_forwards(), 0);
  EXPECT_EQ(result.policy_chosen_logp(), -1.0);
  EXPECT_FALSE(result.has_reference_chosen_logp());
  EXPECT_FALSE(result.has_reference_margin());
  EXPECT_EQ(result.reference_digest(), "");
  EXPECT_EQ(MetricValue("prefscore_reference_margin_nats", {{"model", "reference"}}), 0);

  options.set_reference("reference");  // one that is asked for by name is run
  EXPECT_EQ(Score(IdPair({5}, {3}, {9}), options).reference_chosen_logp(), -2.0);
  options.clear_reference();
  options.add_objectives()->set_name("sigmoid");
  EXPECT_EQ(Score(IdPair({5}, {3}, {9}), options).reference_chosen_logp(), -2.0);
}

TEST_F(ScorePairsTest, LearningCellsAreCounted) {
  Start();
  Score(IdPair({5}, {3}, {9}));  // both models prefer the smaller id
  Score(IdPair({5}, {9}, {3}));
  Score(IdPair({5}, {3}, {3}));
  const auto cell = [&](const char* policy_ranking, const char* reference_ranking) {
    return MetricValue("prefscore_learning_cell_pairs_total", {{"policy", "policy"},
                                                               {"reference", "reference"},
                                                               {"policy_ranking", policy_ranking},
                                                               {"reference_ranking", reference_ranking}});
  };
  EXPECT_EQ(cell("right", "right"), 1);
  EXPECT_EQ(cell("wrong", "wrong"), 1);
  EXPECT_EQ(cell("tie", "tie"), 1);
  EXPECT_EQ(cell("right", "wrong"), 0);
  EXPECT_EQ(MetricValue("prefscore_policy_margin_nats", {{"model", "policy"}}), 3);
}

TEST_F(ScorePairsTest, TokenisesTextAsTrlDoes) {
  Start();
  v1::ScoringOptions options;
  options.set_return_token_ids(true);
  const v1::PairResult result = Score(TextPair("ab", "c", "d$"), options);
  EXPECT_FALSE(result.has_status()) << result.status().message();
  EXPECT_THAT(result.token_ids().prompt(), ElementsAre(1, 'a', 'b'));
  EXPECT_THAT(result.token_ids().chosen(), ElementsAre('c', '$'));
  EXPECT_THAT(result.token_ids().rejected(), ElementsAre('d', '$')) << "EOS is not added twice";
  EXPECT_EQ(result.tokenizer_fingerprint(), "fingerprint");
}

TEST_F(ScorePairsTest, RendersConversationsFromFieldsAndFromJson) {
  Start();
  v1::PreferencePair pair;
  auto* user = pair.mutable_prompt()->mutable_conversation()->add_messages();
  user->set_role("user");
  user->set_content("q\"\n");
  auto* chosen = pair.mutable_chosen()->mutable_conversation()->add_messages();
  chosen->set_role("assistant");
  chosen->set_content("y");
  pair.mutable_rejected()->mutable_conversation()->add_messages()->set_json(
      "{\"role\": \"assistant\", \"content\": \"n\"}");
  v1::ScoringOptions options;
  options.set_return_token_ids(true);
  const v1::PairResult result = Score(pair, options);
  ASSERT_FALSE(result.has_status()) << result.status().message();
  std::string prompt(result.token_ids().prompt().begin(), result.token_ids().prompt().end());
  EXPECT_EQ(prompt, "user:q\"\n;assistant:");
  EXPECT_THAT(result.token_ids().chosen(), ElementsAre('y', ';'));
  EXPECT_THAT(result.token_ids().rejected(), ElementsAre('n', ';'));
}

TEST_F(ScorePairsTest, FindsTheImplicitPrompt) {
  Start();
  v1::PreferencePair pair = TextPair("", "ask yes", "ask no");
  pair.clear_prompt();
  const v1::PairResult result = Score(pair);
  EXPECT_FALSE(result.has_status()) << result.status().message();
  EXPECT_GT(result.num_prompt_tokens(), 1);
}

TEST_F(ScorePairsTest, ComputesOnlyWhatIsNotKnown) {
  Start();
  v1::PreferencePair pair = IdPair({5}, {3}, {9});
  pair.mutable_known()->set_reference_chosen_logp(-7);
  pair.mutable_known()->set_reference_rejected_logp(-8);
  const v1::PairResult result = Score(pair);
  ASSERT_FALSE(result.has_status()) << result.status().message();
  EXPECT_EQ(result.policy_chosen_logp(), -1.0);
  EXPECT_EQ(result.reference_chosen_logp(), -7);
  EXPECT_EQ(result.reference_rejected_logp(), -8);
  EXPECT_EQ(result.policy_digest(), "digest-policy");
  EXPECT_EQ(result.reference_digest(), "") << "the reference was not run";
  EXPECT_EQ(reference_->num_forwards(), 0);
}

TEST_F(ScorePairsTest, NeedsNoContentWhereAllIsKnown) {
  Start();
  v1::PreferencePair pair;
  pair.mutable_known()->set_policy_chosen_logp(-1);
  pair.mutable_known()->set_policy_rejected_logp(-2);
  pair.mutable_known()->set_reference_chosen_logp(-3);
  pair.mutable_known()->set_reference_rejected_logp(-5);
  const v1::PairResult result = Score(pair);
  ASSERT_FALSE(result.has_status()) << result.status().message();
  EXPECT_EQ(result.policy_margin(), 1);
  EXPECT_EQ(result.reference_margin(), 2);
  EXPECT_EQ(result.policy_digest(), "");
  EXPECT_EQ(result.numerics_mode(), "");
  EXPECT_EQ(policy_->num_forwards(), 0);
}

TEST_F(ScorePairsTest, NeedsNoContentForAKnownCompletion) {
  Start();
  v1::PreferencePair pair = IdPair({5}, {3}, {9});
  pair.clear_chosen();
  pair.mutable_known()->set_policy_chosen_logp(-1);
  pair.mutable_known()->set_reference_chosen_logp(-2);
  v1::ScoringOptions options;
  options.set_return_token_ids(true);
  const v1::PairResult result = Score(pair, options);
  ASSERT_FALSE(result.has_status()) << result.status().message();
  EXPECT_EQ(result.policy_chosen_logp(), -1);
  EXPECT_EQ(result.policy_rejected_logp(), -2.5);
  EXPECT_EQ(result.num_chosen_tokens(), 0);
  EXPECT_EQ(result.num_rejected_tokens(), 1);
  EXPECT_THAT(result.token_ids().chosen(), IsEmpty());
}

TEST_F(ScorePairsTest, TruncatesOnRequestAndTellsWhatWasCut) {
  Start();
  v1::ScoringOptions options;
  options.set_max_length(4);
  options.set_truncation_policy(v1::TRUNCATION_POLICY_KEEP_START);
  options.set_return_token_ids(true);
  const v1::PairResult result = Score(IdPair({5, 6}, {1, 2, 3}, {4}), options);
  ASSERT_FALSE(result.has_status()) << result.status().message();
  EXPECT_THAT(result.token_ids().chosen(), ElementsAre(1, 2));
  EXPECT_EQ(result.tokenization().num_truncated_chosen_tokens(), 1);
  EXPECT_EQ(result.tokenization().num_truncated_rejected_tokens(), 0);
  EXPECT_EQ(result.num_chosen_tokens(), 2);
}

TEST_F(ScorePairsTest, JoinsDifferentNumericsModes) {
  reference_->mutable_info().numerics_mode = "fake-2";
  Start();
  EXPECT_EQ(Score(IdPair({5}, {3}, {9})).numerics_mode(), "fake-1+fake-2");
}

TEST_F(ScorePairsTest, EmptyCompletionIsThatPairsFault) {
  Start();
  ExpectPairFault(TextPair("p", "", "r"), "chosen", "empty");
  ExpectPairFault(IdPair({5}, {1}, {}), "rejected", "at least 1 is needed");
  v1::PreferencePair pair = TextPair("p", "c", "r");
  pair.mutable_chosen()->clear_form();
  ExpectPairFault(pair, "chosen", "none of text, conversation and token_ids is set");
  pair.clear_chosen();
  ExpectPairFault(pair, "chosen", "missing");
  pair = TextPair("p", "c", "r");
  pair.clear_rejected();
  ExpectPairFault(pair, "rejected", "missing");
}

TEST_F(ScorePairsTest, EmptyPromptOfIdsIsThatPairsFault) {
  Start();
  ExpectPairFault(IdPair({}, {1}, {2}), "prompt", "at least 1 is needed");
  v1::PreferencePair pair = IdPair({5}, {1}, {2});
  pair.clear_prompt();
  ExpectPairFault(pair, "prompt", "missing");
}

TEST_F(ScorePairsTest, TokenIdOutOfRangeIsThatPairsFault) {
  Start();
  ExpectPairFault(IdPair({5}, {300}, {2}), "chosen", "300");
  ExpectPairFault(IdPair({4294967295u}, {1}, {2}), "prompt", "4294967295");
}

TEST_F(ScorePairsTest, OverLengthIsThatPairsFault) {
  Start();
  ExpectPairFault(IdPair({5}, std::vector<std::uint32_t>(200, 1), {2}), "chosen", "200");
}

TEST_F(ScorePairsTest, MixedFormsAreThatPairsFault) {
  Start();
  v1::PreferencePair pair = TextPair("p", "c", "r");
  pair.mutable_rejected()->mutable_token_ids()->add_ids(1);
  ExpectPairFault(pair, "rejected", "is token ids, but prompt is text");
}

TEST_F(ScorePairsTest, LongIdIsThatPairsFault) {
  Start();
  v1::PreferencePair pair = IdPair({5}, {1}, {2});
  pair.set_id(std::string(257, 'x'));
  ExpectPairFault(pair, "id", "257 bytes; the limit is 256");
}

TEST_F(ScorePairsTest, LongTextIsThatPairsFault) {
  limits_.max_text_bytes = 10;
  Start();
  ExpectPairFault(TextPair("p", "12345678901", "r"), "chosen", "11 bytes of text; the limit is max_text_bytes = 10");
}

TEST_F(ScorePairsTest, TextUnderTheIdsProfileIsThatPairsFault) {
  Start();
  v1::ScoringOptions options;
  options.set_profile("ids");
  ExpectPairFault(TextPair("p", "c", "r"), "prompt", "token ids only", options);
}

TEST_F(ScorePairsTest, InvalidUtf8IsThatPairsFault) {
  Start();
  ExpectPairFault(TextPair("p", "good", "\xff\xfe"), "rejected.text", "UTF-8");
  ExpectPairFault(TextPair("\xed\xa0\x80", "good", "good"), "prompt.text", "UTF-8");  // a surrogate
}

TEST_F(ScorePairsTest, KnownLogProbsMustBeLogProbs) {
  Start();
  v1::PreferencePair pair = IdPair({5}, {1}, {2});
  pair.mutable_known()->set_policy_chosen_logp(0.5);
  ExpectPairFault(pair, "known.policy_chosen_logp", "0.5");
  pair.mutable_known()->set_policy_chosen_logp(std::nan(""));
  ExpectPairFault(pair, "known.policy_chosen_logp", "nan");
  pair.clear_known();
  pair.mutable_known()->set_reference_rejected_logp(-INFINITY);
  ExpectPairFault(pair, "known.reference_rejected_logp", "-inf");
}

TEST_F(ScorePairsTest, MalformedConversationsAreThatPairsFault) {
  Start();
  v1::PreferencePair pair;
  auto* prompt = pair.mutable_prompt()->mutable_conversation()->add_messages();
  prompt->set_role("user");
  for (auto* completion : {pair.mutable_chosen(), pair.mutable_rejected()}) {
    auto* message = completion->mutable_conversation()->add_messages();
    message->set_role("assistant");
    message->set_content("x");
  }
  EXPECT_FALSE(Score(pair).has_status()) << Score(pair).status().message();

  v1::PreferencePair bad = pair;
  bad.mutable_chosen()->mutable_conversation()->clear_messages();
  ExpectPairFault(bad, "chosen", "0 messages");
  bad = pair;
  bad.mutable_prompt()->mutable_conversation()->mutable_messages(0)->clear_role();
  ExpectPairFault(bad, "prompt.conversation.messages[0].role", "is empty");
  bad = pair;
  prompt = bad.mutable_prompt()->mutable_conversation()->mutable_messages(0);
  prompt->set_json("{}");
  ExpectPairFault(bad, "prompt.conversation.messages[0]", "exclude each other");
  prompt->clear_role();
  const std::string json_field = "prompt.conversation.messages[0].json";
  prompt->set_json("{\"role\": ");
  ExpectPairFault(bad, json_field, "not well-formed JSON");
  prompt->set_json("{}, {}");
  ExpectPairFault(bad, json_field, "not well-formed JSON");
  prompt->set_json("[]");
  ExpectPairFault(bad, json_field, "is a JSON array, not an object");
  prompt->set_json("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}");
  ExpectPairFault(bad, json_field, "nests lists and objects 100001 deep; the limit is 63");
  const auto nested = [](int depth) {
    return "{\"role\":\"user\",\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  prompt->set_json(nested(64));  // and the list of messages around it
  ExpectPairFault(bad, json_field, "nests lists and objects 64 deep; the limit is 63");
  prompt->set_json(nested(63));
  EXPECT_FALSE(Score(bad).has_status()) << Score(bad).status().message();
}

TEST_F(ScorePairsTest, TemplateInputsMustBeJsonForConversations) {
  Start();
  v1::PreferencePair pair = TextPair("p", "c", "r");
  pair.set_tools_json("[]");
  ExpectPairFault(pair, "tools_json", "is for conversations, and the prompt is text");
  for (auto* content : {pair.mutable_prompt(), pair.mutable_chosen(), pair.mutable_rejected()}) {
    content->mutable_conversation()->add_messages()->set_role("user");
  }
  pair.set_tools_json("[1]");
  ExpectPairFault(pair, "tools_json", "list of objects");
  pair.set_tools_json("[{}]");
  pair.set_chat_template_kwargs_json("[]");
  ExpectPairFault(pair, "chat_template_kwargs_json", "not an object");
}

TEST_F(ScorePairsTest, TextForModelsThatCannotShareItIsThatPairsFault) {
  Start();
  v1::ScoringOptions options;
  options.set_reference("foreign");
  EXPECT_EQ(Score(TextPair("p", "c", "r"), options).status().code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(Score(TextPair("p", "c", "r"), options).status()).reason, "MODEL_DOES_NOT_FIT");
  EXPECT_FALSE(Score(IdPair({5}, {1}, {2}), options).has_status());
  options.set_reference("bare");
  EXPECT_EQ(Score(TextPair("p", "c", "r"), options).status().code(), grpc::FAILED_PRECONDITION);
}

TEST_F(ScorePairsTest, NonFiniteLogProbIsThatPairsFault) {
  policy_->PoisonToken(13);
  Start();
  v1::ScorePairsRequest request;
  *request.add_pairs() = IdPair({5}, {1}, {2});
  *request.add_pairs() = IdPair({5}, {1}, {13});
  v1::ScorePairsResponse response;
  ASSERT_TRUE(ScorePairs(request, &response).ok());
  EXPECT_FALSE(response.results(0).has_status());
  EXPECT_EQ(response.results(1).status().code(), grpc::OUT_OF_RANGE);
  EXPECT_EQ(DetailsOf(response.results(1).status()).reason, "NON_FINITE_LOG_PROB");
  EXPECT_EQ(MetricValue("prefscore_non_finite_results_total"), 1);
}

TEST_F(ScorePairsTest, AModelThatFailsFailsItsPairs) {
  policy_->FailWith(absl::InternalError("the device is gone"));
  Start();
  const v1::PairResult result = Score(IdPair({5}, {1}, {2}));
  EXPECT_EQ(result.status().code(), grpc::INTERNAL);
  EXPECT_THAT(result.status().message(), HasSubstr("the device is gone"));
}

TEST_F(ScorePairsTest, CountsWhatHappened) {
  Start();
  v1::ScorePairsRequest request;
  *request.add_pairs() = IdPair({5, 6}, {1}, {2});  // policy margin 0.25, reference margin 0.5: reward margin < 0
  *request.add_pairs() = IdPair({5, 6}, {2}, {1});
  *request.add_pairs() = IdPair({5}, {}, {1});
  v1::ScorePairsResponse response;
  ASSERT_TRUE(ScorePairs(request, &response).ok());
  request.clear_pairs();
  EXPECT_FALSE(ScorePairs(request, &response).ok());

  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "ScorePairs"}, {"code", "OK"}}), 1);
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "ScorePairs"}, {"code", "INVALID_ARGUMENT"}}), 1);
  EXPECT_EQ(MetricValue("prefscore_request_duration_seconds", {{"method", "ScorePairs"}}), 2);
  EXPECT_EQ(MetricValue("prefscore_pairs_scored_total"), 2);
  EXPECT_EQ(MetricValue("prefscore_pairs_accurate_total"), 1);
  EXPECT_EQ(MetricValue("prefscore_reward_margin"), 2);
  EXPECT_EQ(MetricValue("prefscore_pairs_failed_total", {{"code", "INVALID_ARGUMENT"}}), 1);
  EXPECT_EQ(MetricValue("prefscore_tokens_total", {{"kind", "computed"}}), 8) << "the second pair is the first, swapped";
  EXPECT_EQ(MetricValue("prefscore_tokens_total", {{"kind", "saved_by_sharing"}}), 16);
  EXPECT_EQ(MetricValue("prefscore_queue_delay_seconds", {{"priority", "interactive"}}), 2);
  EXPECT_GE(MetricValue("prefscore_forward_duration_seconds", {{"model", "policy"}}), 1);
}

}  // namespace
}  // namespace prefscore
