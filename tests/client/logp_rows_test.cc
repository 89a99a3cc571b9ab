// SPDX-License-Identifier: Apache-2.0
#include "client/cli/logp_rows.h"

#include <cmath>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(LogProbRowTest, ReadsWhatScoreWrites) {
  const LogProbRow row = ParseLogProbRow(
      R"({"id": "a", "index": 3, "policy_chosen_logp": -1.5, "policy_rejected_logp": -2, "reference_chosen_logp": -3,
          "reference_rejected_logp": -4, "num_chosen_tokens": 5, "num_rejected_tokens": 6, "objectives": [{"loss": 1}],
          "token_logps": {"policy_chosen": [-1, -0.5], "policy_rejected": []}, "policy_digest": "p",
          "reference_digest": "r", "labels": {"kind": "code"}, "score_gap": 0.25, "more": [1, 2]})");
  ASSERT_TRUE(row.fault.ok()) << row.fault;
  EXPECT_EQ(row.pair.id(), "a");
  EXPECT_EQ(row.pair.logps().policy_chosen_logp(), -1.5);
  EXPECT_EQ(row.pair.logps().reference_rejected_logp(), -4);
  EXPECT_EQ(row.pair.num_rejected_tokens(), 6);
  EXPECT_THAT(row.pair.token_logps().policy_chosen(), ElementsAre(-1.f, -0.5f));
  EXPECT_EQ(row.pair.policy_digest(), "p");
  EXPECT_EQ(row.pair.labels().at("kind"), "code");
  EXPECT_EQ(row.pair.score_gap(), 0.25);
}

TEST(LogProbRowTest, ReadsTrlsNamesAndNumbersThatJsonHasNot) {
  const LogProbRow row = ParseLogProbRow(
      R"({"policy_chosen_logp": "-Infinity", "policy_rejected_logp": "NaN", "ref_chosen_logps": -3,
          "ref_rejected_logps": -4})");
  ASSERT_TRUE(row.fault.ok()) << row.fault;
  EXPECT_EQ(row.pair.logps().policy_chosen_logp(), -INFINITY);
  EXPECT_TRUE(std::isnan(row.pair.logps().policy_rejected_logp()));
  EXPECT_EQ(row.pair.logps().reference_chosen_logp(), -3);
}

TEST(LogProbRowTest, MembersBecomeLabels) {
  const LogProbRow row =
      ParseLogProbRow(R"({"category": "code", "turns": 2, "hard": true, "labels": {"category": "old"}})",
                      {"category", "turns", "hard"});
  ASSERT_TRUE(row.fault.ok()) << row.fault;
  EXPECT_EQ(row.pair.labels().at("category"), "code");
  EXPECT_EQ(row.pair.labels().at("turns"), "2");
  EXPECT_EQ(row.pair.labels().at("hard"), "true");
}

TEST(LogProbRowTest, FaultsNameTheField) {
  const std::pair<const char*, const char*> faults[] = {
      {"[]", "not a JSON object"},
      {R"({"policy_chosen_logp": "low"})", "policy_chosen_logp: must be a number, but is string"},
      {R"({"reference_chosen_logp": -1, "ref_chosen_logps": -1})", "reference_chosen_logp: is given twice"},
      {R"({"num_chosen_tokens": 1.5})", "num_chosen_tokens: must be an integer"},
      {R"({"num_chosen_tokens": -1})", "num_chosen_tokens: is -1"},
      {R"({"token_logps": [1]})", "token_logps: must be an object"},
      {R"({"token_logps": {"policy_chosen": 1}})", "token_logps.policy_chosen: must be a list"},
      {R"({"token_logps": {"policy_chosen": ["x"]}})", "token_logps.policy_chosen"},
      {R"({"labels": "x"})", "labels: must be an object"},
      {R"({"labels": {"a": [1]}})", "a: must be a string, a number or a boolean"},
      {R"({"id": 1.5})", "id"},
      {R"({"status": {"code": 3, "message": "pair.chosen: is empty"}})", "was not scored: pair.chosen: is empty"},
  };
  for (const auto& [text, message] : faults) {
    const LogProbRow row = ParseLogProbRow(text);
    EXPECT_TRUE(absl::IsInvalidArgument(row.fault)) << text;
    EXPECT_THAT(std::string(row.fault.message()), HasSubstr(message)) << text;
  }
  EXPECT_THAT(std::string(ParseLogProbRow("{}", {"kind"}).fault.message()), HasSubstr("kind: is absent"));
  const LogProbRow non_finite = ParseLogProbRow(R"({"id": "x", "status": {"code": 11, "message": "token 3 is nan"}})");
  EXPECT_TRUE(absl::IsOutOfRange(non_finite.fault));
  EXPECT_EQ(non_finite.pair.id(), "x");
}

}  // namespace
}  // namespace prefscore::cli
