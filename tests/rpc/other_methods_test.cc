// SPDX-License-Identifier: Apache-2.0
// ScoreCompletions, EvaluateObjectives, ListModels and GetModel.
#include "tests/rpc/rpc_test_base.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OtherMethodsTest : public RpcTestBase {
 protected:
  grpc::Status ScoreCompletions(const v1::ScoreCompletionsRequest& request, v1::ScoreCompletionsResponse* response) {
    grpc::ClientContext context;
    return scoring_->ScoreCompletions(&context, request, response);
  }
  grpc::Status Evaluate(const v1::EvaluateObjectivesRequest& request, v1::EvaluateObjectivesResponse* response) {
    grpc::ClientContext context;
    return scoring_->EvaluateObjectives(&context, request, response);
  }
  grpc::Status GetModel(const std::string& name, v1::GetModelResponse* response) {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_name(name);
    return models_->GetModel(&context, request, response);
  }

  static v1::PromptCompletions IdPrompt(std::vector<std::uint32_t> prompt,
                                        std::vector<std::vector<std::uint32_t>> completions) {
    v1::PromptCompletions proto;
    proto.mutable_prompt()->mutable_token_ids()->mutable_ids()->Add(prompt.begin(), prompt.end());
    for (const auto& ids : completions) {
      proto.add_completions()->mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
    }
    return proto;
  }

  static v1::PairLogProbs LogProbs(double policy_chosen, double policy_rejected, double reference_chosen,
                                   double reference_rejected) {
    v1::PairLogProbs proto;
    proto.mutable_logps()->set_policy_chosen_logp(policy_chosen);
    proto.mutable_logps()->set_policy_rejected_logp(policy_rejected);
    proto.mutable_logps()->set_reference_chosen_logp(reference_chosen);
    proto.mutable_logps()->set_reference_rejected_logp(reference_rejected);
    return proto;
  }
};

TEST_F(OtherMethodsTest, ScoresCompletionsUnderTheDefaultModels) {
  Start();
  v1::ScoreCompletionsRequest request;
  *request.add_prompts() = IdPrompt({5, 6}, {{1}, {2, 3}, {4}});
  request.mutable_prompts(0)->set_id("p");
  request.set_return_token_logps(true);
  v1::ScoreCompletionsResponse response;
  const grpc::Status status = ScoreCompletions(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.models_size(), 2);
  EXPECT_EQ(response.models(0).name(), "policy");
  EXPECT_EQ(response.models(0).digest(), "digest-policy");
  EXPECT_EQ(response.models(0).tokenizer_fingerprint(), "fingerprint");
  EXPECT_EQ(response.models(1).numerics_mode(), "fake-1");
  ASSERT_EQ(response.results_size(), 1);
  EXPECT_EQ(response.results(0).id(), "p");
  ASSERT_EQ(response.results(0).completions_size(), 3);
  const v1::CompletionResult& completion = response.results(0).completions(1);
  EXPECT_EQ(completion.num_prompt_tokens(), 2);
  EXPECT_EQ(completion.num_completion_tokens(), 2);
  ASSERT_EQ(completion.logps_size(), 2);
  EXPECT_EQ(completion.logps(0).model(), "policy");
  EXPECT_EQ(completion.logps(0).logp(), -1.75);
  EXPECT_EQ(completion.logps(1).logp(), -3.5);
  EXPECT_THAT(completion.logps(1).token_logps(), ElementsAre(-1.5f, -2.0f));
}

// The fake model's greedy decoding gives token 0 for ever.
TEST_F(OtherMethodsTest, TellsGreedyMatchesWhereAsked) {
  Start();
  v1::ScoreCompletionsRequest request;
  *request.add_prompts() = IdPrompt({5, 6}, {{0, 0}, {0, 3}});
  for (const bool is_asked : {false, true}) {
    request.set_return_greedy_match(is_asked);
    v1::ScoreCompletionsResponse response;
    ASSERT_TRUE(ScoreCompletions(request, &response).ok());
    for (const int completion : {0, 1}) {
      for (const v1::ModelLogProb& logp : response.results(0).completions(completion).logps()) {
        EXPECT_EQ(logp.has_is_greedy_match(), is_asked);
        EXPECT_EQ(logp.is_greedy_match(), is_asked && completion == 0);
      }
    }
  }
}

TEST_F(OtherMethodsTest, OneCompletionAndOneModelSuffice) {
  Start();
  v1::ScoreCompletionsRequest request;
  v1::PromptCompletions& prompt = *request.add_prompts();
  prompt.mutable_prompt()->set_text("ab");
  prompt.add_completions()->set_text("c");
  request.add_models("foreign");
  v1::ScoreCompletionsResponse response;
  ASSERT_TRUE(ScoreCompletions(request, &response).ok());
  ASSERT_FALSE(response.results(0).has_status()) << response.results(0).status().message();
  EXPECT_EQ(response.results(0).completions(0).num_completion_tokens(), 2) << "c and EOS";
  EXPECT_EQ(response.results(0).completions(0).logps_size(), 1);
}

TEST_F(OtherMethodsTest, FaultsOfPromptsAreTheirOwn) {
  limits_.max_completions_per_prompt = 2;
  Start();
  v1::ScoreCompletionsRequest request;
  *request.add_prompts() = IdPrompt({5}, {{1}});
  *request.add_prompts() = IdPrompt({5}, {{1}, {}});
  *request.add_prompts() = IdPrompt({5}, {});
  *request.add_prompts() = IdPrompt({5}, {{1}, {1}, {1}});
  *request.add_prompts() = IdPrompt({5}, {{1}, {999}});
  *request.add_prompts() = IdPrompt({5}, {{1}});
  request.mutable_prompts(5)->clear_prompt();
  *request.add_prompts() = IdPrompt({5}, {{1}});
  request.mutable_prompts(6)->mutable_completions(0)->set_text("x");
  v1::ScoreCompletionsResponse response;
  const grpc::Status status = ScoreCompletions(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_FALSE(response.results(0).has_status());
  EXPECT_EQ(response.results(0).completions_size(), 1);
  const char* fields[] = {"",
                          "prompts[1].completions[1]",
                          "prompts[2].completions",
                          "prompts[3].completions",
                          "prompts[4].completions[1]",
                          "prompts[5].prompt",
                          "prompts[6].completions[0]"};
  for (int idx = 1; idx < 7; ++idx) {
    EXPECT_EQ(response.results(idx).status().code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(DetailsOf(response.results(idx).status()).field, fields[idx]);
    EXPECT_EQ(response.results(idx).completions_size(), 0);
    EXPECT_EQ(response.results(idx).index(), idx);
  }
}

TEST_F(OtherMethodsTest, CompletionCallsAreCheckedAsAWhole) {
  Start();
  v1::ScoreCompletionsRequest request;
  v1::ScoreCompletionsResponse response;
  grpc::Status status = ScoreCompletions(request, &response);
  EXPECT_EQ(DetailsOf(status).field, "prompts");
  *request.add_prompts() = IdPrompt({5}, {{1}});
  request.add_models("policy");
  request.add_models("nobody");
  status = ScoreCompletions(request, &response);
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("models[1]"));
  request.set_models(1, "policy");
  status = ScoreCompletions(request, &response);
  EXPECT_EQ(DetailsOf(status).field, "models[1]");
  request.clear_models();
  request.set_max_length(100000);
  EXPECT_EQ(DetailsOf(ScoreCompletions(request, &response)).field, "max_length");
  request.clear_max_length();
  request.set_profile("x");
  EXPECT_EQ(DetailsOf(ScoreCompletions(request, &response)).field, "profile");
}

TEST_F(OtherMethodsTest, EvaluatesObjectivesWithoutModels) {
  Start();
  v1::EvaluateObjectivesRequest request;
  *request.add_pairs() = LogProbs(-1, -2, -3, -5);
  request.mutable_pairs(0)->set_id("a");
  request.mutable_pairs(0)->set_num_chosen_tokens(4);
  *request.add_pairs() = LogProbs(-1, 0.5, -3, -5);
  *request.add_pairs() = LogProbs(-1, -2, std::nan(""), -5);
  *request.add_pairs() = LogProbs(-1, -2, -3, -5);
  request.mutable_pairs(3)->mutable_logps()->clear_reference_rejected_logp();
  auto* objective = request.add_objectives();
  objective->set_name("margin_hinge");
  objective->set_beta(2);
  objective->set_gamma(3);
  v1::EvaluateObjectivesResponse response;
  const grpc::Status status = Evaluate(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 4);
  const v1::PairResult& result = response.results(0);
  EXPECT_FALSE(result.has_status());
  EXPECT_EQ(result.id(), "a");
  EXPECT_EQ(result.num_chosen_tokens(), 4);
  EXPECT_EQ(result.policy_margin(), 1);
  EXPECT_EQ(result.reference_margin(), 2);
  EXPECT_EQ(result.objectives(0).logit(), -4);  // 2*1 - 3*2
  EXPECT_EQ(result.objectives(0).loss(), 4);
  EXPECT_EQ(result.objectives(0).required_margin(), 3);
  EXPECT_EQ(result.policy_digest(), "");
  EXPECT_EQ(policy_->num_forwards(), 0);
  for (int idx = 1; idx < 4; ++idx) EXPECT_EQ(response.results(idx).status().code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(DetailsOf(response.results(1).status()).field, HasSubstr("policy_rejected_logp"));
  EXPECT_THAT(DetailsOf(response.results(2).status()).field, HasSubstr("reference_chosen_logp"));
  EXPECT_EQ(DetailsOf(response.results(3).status()).field, "pairs[3].logps.reference_rejected_logp");
}

TEST_F(OtherMethodsTest, EvaluateCallsAreCheckedAsAWhole) {
  Start();
  v1::EvaluateObjectivesRequest request;
  v1::EvaluateObjectivesResponse response;
  EXPECT_EQ(DetailsOf(Evaluate(request, &response)).field, "pairs");
  *request.add_pairs() = LogProbs(-1, -2, -3, -5);
  request.add_objectives()->set_name("nonsense");
  EXPECT_EQ(DetailsOf(Evaluate(request, &response)).field, "objectives[0].name");
}

TEST_F(OtherMethodsTest, EvaluateTakesWhatTheObjectivesNeedAndNoMore) {
  Start();
  v1::EvaluateObjectivesRequest request;
  v1::PairLogProbs& complete = *request.add_pairs();
  complete.mutable_logps()->set_policy_chosen_logp(-3);
  complete.mutable_logps()->set_policy_rejected_logp(-6);
  complete.set_num_chosen_tokens(1);
  complete.set_num_rejected_tokens(3);
  (*complete.mutable_labels())["category"] = "code";
  *request.add_pairs() = complete;
  request.mutable_pairs(1)->clear_num_rejected_tokens();
  *request.add_pairs() = complete;
  for (const float logp : {-1.f, -1.f, -1.f})
    request.mutable_pairs(2)->mutable_token_logps()->add_policy_rejected(logp);
  *request.add_pairs() = complete;
  for (const float logp : {-3.f, -3.f}) request.mutable_pairs(3)->mutable_token_logps()->add_policy_rejected(logp);
  request.add_objectives()->set_name("simpo");
  v1::EvaluateObjectivesResponse response;
  ASSERT_TRUE(Evaluate(request, &response).ok());
  const v1::PairResult& result = response.results(0);
  EXPECT_FALSE(result.has_status()) << result.status().message();
  EXPECT_FALSE(result.has_reference_chosen_logp());
  EXPECT_FALSE(result.has_chosen_logratio());
  EXPECT_FALSE(result.has_reference_margin());
  EXPECT_EQ(result.policy_margin(), 3);
  EXPECT_EQ(result.labels().at("category"), "code");
  EXPECT_DOUBLE_EQ(result.objectives(0).logit(), 0.1 * (-3 - -2) - 0.5);
  EXPECT_EQ(result.objectives(0).label(), "simpo:beta=0.1");
  EXPECT_EQ(DetailsOf(response.results(1).status()).field, "pairs[1].num_rejected_tokens");
  EXPECT_EQ(DetailsOf(response.results(2).status()).field, "pairs[2].token_logps.policy_rejected") << "sums to -3";
  EXPECT_EQ(DetailsOf(response.results(3).status()).field, "pairs[3].token_logps.policy_rejected") << "two of three";

  request.mutable_objectives(0)->set_name("sigmoid");
  ASSERT_TRUE(Evaluate(request, &response).ok());
  EXPECT_EQ(DetailsOf(response.results(0).status()).field, "pairs[0].logps.reference_chosen_logp");
  EXPECT_THAT(response.results(0).status().message(), HasSubstr("objective 'sigmoid' needs it"));
}

TEST_F(OtherMethodsTest, EvaluatesSumsAndBatches) {
  Start();
  v1::EvaluateObjectivesRequest request;
  *request.add_pairs() = LogProbs(-1, -2, -3, -5);
  *request.add_pairs() = LogProbs(-4, -2, -3, -5);
  v1::Objective& sum = *request.add_objectives();
  for (const char* name : {"sigmoid", "hinge"}) {
    sum.add_terms()->mutable_objective()->set_name(name);
    sum.mutable_terms(sum.terms_size() - 1)->set_weight(0.5);
  }
  request.add_objectives()->set_name("sigmoid");
  request.add_objectives()->set_name("hinge");
  request.add_objectives()->set_name("kto_pair");
  v1::EvaluateObjectivesResponse response;
  ASSERT_TRUE(Evaluate(request, &response).ok());
  const v1::PairResult& result = response.results(1);
  EXPECT_EQ(result.objectives(0).name(), "weighted_sum");
  EXPECT_DOUBLE_EQ(result.objectives(0).loss(), (result.objectives(1).loss() + result.objectives(2).loss()) / 2);
  ASSERT_EQ(response.batch_states_size(), 4);
  EXPECT_EQ(response.batch_states(0).values_size(), 0);
  EXPECT_DOUBLE_EQ(response.batch_states(3).values().at("kl_chosen"), 0.05);

  sum.mutable_terms(1)->mutable_objective()->set_beta(-1);
  EXPECT_EQ(DetailsOf(Evaluate(request, &response)).field, "objectives[0].terms[1].objective.beta");
  sum.mutable_terms(1)->mutable_objective()->clear_beta();
  (*sum.mutable_terms(1)->mutable_objective()->mutable_parameters())["label_smoothing"].set_number(0.1);
  EXPECT_EQ(DetailsOf(Evaluate(request, &response)).field,
            "objectives[0].terms[1].objective.parameters.label_smoothing");
}

TEST_F(OtherMethodsTest, ListsObjectives) {
  Start();
  grpc::ClientContext context;
  v1::ListObjectivesResponse response;
  ASSERT_TRUE(scoring_->ListObjectives(&context, {}, &response).ok());
  ASSERT_GT(response.objectives_size(), 30);
  const v1::ObjectiveInfo& sigmoid = response.objectives(0);
  EXPECT_EQ(sigmoid.name(), "sigmoid");
  EXPECT_THAT(sigmoid.needs(), ::testing::ElementsAre("reference"));
  EXPECT_EQ(sigmoid.parameters(0).name(), "beta");
  EXPECT_EQ(sigmoid.parameters(0).default_value(), "0.1");
  EXPECT_EQ(sigmoid.parameters(1).default_value(), "beta");
  EXPECT_EQ(sigmoid.parameters(2).limits(), "one of: reverse_kl, forward_kl, js_divergence, alpha_divergence");
}

TEST_F(OtherMethodsTest, ListsModelsAndLimits) {
  limits_.max_objectives = 9;
  reference_->mutable_info().same_bits_verified = false;
  Start();
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  ASSERT_TRUE(models_->ListModels(&context, {}, &response).ok());
  ASSERT_EQ(response.models_size(), 4);
  const v1::Model& policy = response.models(0);
  EXPECT_EQ(policy.name(), "policy");
  EXPECT_EQ(policy.role(), v1::MODEL_ROLE_POLICY);
  EXPECT_EQ(policy.architecture(), "fake");
  EXPECT_EQ(policy.digest(), "digest-policy");
  EXPECT_EQ(policy.tokenizer_fingerprint(), "fingerprint");
  EXPECT_TRUE(policy.has_chat_template());
  EXPECT_EQ(policy.dtype(), "float32");
  EXPECT_EQ(policy.numerics_mode(), "fake-1");
  EXPECT_EQ(policy.num_parameters(), 7);
  EXPECT_EQ(policy.vocab_size(), 300);
  EXPECT_EQ(policy.max_context_tokens(), 200);
  EXPECT_TRUE(policy.same_bits_verified());
  EXPECT_EQ(response.models(1).role(), v1::MODEL_ROLE_REFERENCE);
  EXPECT_EQ(response.models(2).role(), v1::MODEL_ROLE_UNSPECIFIED);
  EXPECT_EQ(response.models(3).tokenizer_fingerprint(), "");
  EXPECT_FALSE(response.models(3).has_chat_template());
  EXPECT_FALSE(response.models(1).same_bits_verified());
  const v1::Limits& limits = response.limits();
  EXPECT_EQ(limits.max_pairs_per_request(), 1024);
  EXPECT_EQ(limits.max_completions_per_prompt(), 64);
  EXPECT_EQ(limits.max_objectives(), 9);
  EXPECT_EQ(limits.max_message_bytes(), 64 << 20);
  EXPECT_EQ(limits.max_text_bytes(), 1 << 20);
  EXPECT_EQ(limits.max_queued_tokens(), 1 << 20);
  EXPECT_EQ(limits.max_stream_in_flight(), 256);
  EXPECT_EQ(limits.max_batch_tokens(), 4096);
}

TEST_F(OtherMethodsTest, TellsTheVersionsOfContractAndServer) {
  EXPECT_GE(v1::CONTRACT_VERSION_CURRENT, 1);  // 0 is what a server tells that does not know of versions
  Start();
  grpc::ClientContext context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(models_->ListModels(&context, {}, &list).ok());
  v1::GetModelResponse one;
  ASSERT_TRUE(GetModel("policy", &one).ok());
  EXPECT_EQ(list.contract_version(), v1::CONTRACT_VERSION_CURRENT);
  EXPECT_EQ(one.contract_version(), v1::CONTRACT_VERSION_CURRENT);
  EXPECT_EQ(list.server_version(), kVersion);
  EXPECT_EQ(one.server_version(), kVersion);
}

TEST_F(OtherMethodsTest, GetsAModelByName) {
  Start();
  v1::GetModelResponse response;
  ASSERT_TRUE(GetModel("reference", &response).ok());
  EXPECT_EQ(response.model().digest(), "digest-reference");
  EXPECT_EQ(response.limits().max_pairs_per_request(), 1024);
  grpc::Status status = GetModel("nobody", &response);
  EXPECT_EQ(status.error_code(), grpc::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("hosted: policy, reference, foreign, bare"));
  EXPECT_EQ(DetailsOf(status).reason, "UNKNOWN_MODEL");
  EXPECT_EQ(DetailsOf(GetModel("", &response)).field, "name");
  EXPECT_EQ(DetailsOf(GetModel("\xff", &response)).field, "name");
}

}  // namespace
}  // namespace prefscore
