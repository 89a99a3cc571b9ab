// SPDX-License-Identifier: Apache-2.0
#include "client/cli/message_json.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <cmath>
#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "prefscore/v1/diagnostics.pb.h"
#include "tests/testing/sample_report.h"

namespace prefscore::cli {
namespace {

TEST(MessageJsonTest, FieldsComeInTheOrderOfTheProtoWithTheShortestNumbers) {
  v1::KnownLogProbs logps;
  logps.set_reference_rejected_logp(-0.1);
  logps.set_policy_chosen_logp(-1e-300);
  EXPECT_EQ(MessageToJson(logps), R"({"policy_chosen_logp":-1e-300,"reference_rejected_logp":-0.1})");
  EXPECT_EQ(MessageToJson(v1::ListedPair()), R"({"id":"","policy_margin":0,"value":0})") << "without presence: always";
}

TEST(MessageJsonTest, TextIsEscapedMapsAreSortedAndNumbersNeedNotBeFinite) {
  v1::PairLogProbs pair;
  pair.set_id("\"<\n\xff");  // not UTF-8, which protobuf would not have let in
  (*pair.mutable_labels())["b"] = "2";
  (*pair.mutable_labels())["a"] = "1";
  pair.mutable_logps()->set_policy_chosen_logp(-std::numeric_limits<double>::infinity());
  pair.mutable_logps()->set_policy_rejected_logp(std::nan(""));
  pair.mutable_token_logps()->add_policy_chosen(-0.1f);
  const std::string text = MessageToJson(pair);
  EXPECT_NE(text.find(R"("id":"\"<\n)"), std::string::npos);
  EXPECT_NE(text.find(R"("policy_chosen_logp":"-Infinity","policy_rejected_logp":"NaN")"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("labels":{"a":"1","b":"2"})"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("policy_chosen":[-0.1])"), std::string::npos) << text;
}

TEST(MessageJsonTest, ProtobufReadsItBackToTheSameMessage) {
  const v1::AnalysisReport report = testing::SampleReport();
  for (const JsonLayout layout : {JsonLayout::kOneLine, JsonLayout::kIndented}) {
    v1::AnalysisReport read;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(MessageToJson(report, layout), &read).ok());
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(report, read));
  }
}

}  // namespace
}  // namespace prefscore::cli
