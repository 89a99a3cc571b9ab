// SPDX-License-Identifier: Apache-2.0
#include "server/messages/pair_messages.h"

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/field_error.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

v1::PairLogProbs Pair() {
  v1::PairLogProbs pair;
  pair.mutable_logps()->set_policy_chosen_logp(-3);
  pair.mutable_logps()->set_policy_rejected_logp(-6);
  pair.mutable_logps()->set_reference_chosen_logp(-4);
  pair.mutable_logps()->set_reference_rejected_logp(-5);
  return pair;
}

std::string FaultyField(const v1::PairLogProbs& pair) { return FieldOf(InputsFromProto(pair).status()); }

TEST(InputsFromProtoTest, WhatIsNotSaidIsUnknown) {
  const auto inputs = InputsFromProto(Pair());
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  EXPECT_EQ(inputs->logps.policy_rejected_logp, -6);
  EXPECT_EQ(inputs->logps.reference_rejected_logp, -5);
  EXPECT_TRUE(std::isnan(inputs->num_chosen_tokens));
  EXPECT_TRUE(std::isnan(inputs->score_gap));
  EXPECT_TRUE(std::isnan(inputs->head_logps.policy_chosen_logp));

  v1::PairLogProbs without_reference = Pair();
  without_reference.mutable_logps()->clear_reference_chosen_logp();
  EXPECT_EQ(FaultyField(without_reference), "logps.reference_chosen_logp") << "one without the other is a mistake";
  without_reference.mutable_logps()->clear_reference_rejected_logp();
  EXPECT_TRUE(std::isnan(InputsFromProto(without_reference)->logps.reference_chosen_logp));
}

TEST(InputsFromProtoTest, RefusesWhatIsNoLogProb) {
  for (const double logp : {0.5, std::nan(""), static_cast<double>(-INFINITY)}) {
    v1::PairLogProbs pair = Pair();
    pair.mutable_logps()->set_policy_chosen_logp(logp);
    EXPECT_EQ(FaultyField(pair), "logps.policy_chosen_logp") << logp;
  }
  v1::PairLogProbs pair = Pair();
  pair.mutable_logps()->clear_policy_rejected_logp();
  EXPECT_EQ(FaultyField(pair), "logps.policy_rejected_logp");
}

TEST(InputsFromProtoTest, TokenLogProbsMustFitLengthsAndSums) {
  v1::PairLogProbs pair = Pair();
  v1::PairTokenLogProbs& tokens = *pair.mutable_token_logps();
  for (const float logp : {-1.f, -2.f}) tokens.add_policy_chosen(logp);
  for (const float logp : {-1.f, -2.f, -3.f}) tokens.add_policy_rejected(logp);
  for (const float logp : {-2.f, -2.f}) tokens.add_reference_chosen(logp);
  for (const float logp : {-1.f, -1.f, -3.f}) tokens.add_reference_rejected(logp);
  const auto inputs = InputsFromProto(pair);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  EXPECT_EQ(inputs->head_logps.policy_chosen_logp, -3);
  EXPECT_EQ(inputs->head_logps.policy_rejected_logp, -3);
  EXPECT_EQ(inputs->head_logps.reference_rejected_logp, -2);

  pair.set_num_rejected_tokens(4);
  EXPECT_EQ(FaultyField(pair), "token_logps.policy_rejected");
  pair.set_num_rejected_tokens(3);
  EXPECT_EQ(FaultyField(pair), "");
  tokens.set_reference_rejected(2, -3.5f);
  EXPECT_EQ(FaultyField(pair), "token_logps.reference_rejected") << "sums to -5.5";
  tokens.set_reference_rejected(2, 1.f);
  EXPECT_EQ(FaultyField(pair), "token_logps.reference_rejected") << "positive";
  tokens.clear_reference_rejected();
  tokens.add_reference_rejected(-5.f);
  pair.clear_num_rejected_tokens();
  EXPECT_EQ(FaultyField(pair), "token_logps.reference_rejected") << "one token against three of the policy";
}

TEST(CheckTest, IdsAndLabelsAreBounded) {
  EXPECT_TRUE(CheckId(std::string(256, 'x')).ok());
  EXPECT_EQ(FieldOf(CheckId(std::string(257, 'x'))), "id");
  v1::PairLogProbs pair = Pair();
  for (int i = 0; i < 8; ++i) (*pair.mutable_labels())[absl::StrCat("name", i)] = "value";
  EXPECT_EQ(FaultyField(pair), "");
  (*pair.mutable_labels())["one more"] = "value";
  EXPECT_EQ(FaultyField(pair), "labels");
  pair.clear_labels();
  (*pair.mutable_labels())[""] = "value";
  EXPECT_EQ(FaultyField(pair), "labels");
  pair.clear_labels();
  (*pair.mutable_labels())["name"] = std::string(257, 'x');
  EXPECT_THAT(std::string(InputsFromProto(pair).status().message()), HasSubstr("257 bytes; the limit is 256"));
}

}  // namespace
}  // namespace prefscore
