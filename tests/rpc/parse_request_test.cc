// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/parse_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "prefscore/v1/scoring.pb.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// In slices of `slice_bytes`, as bytes come off the network.
grpc::ByteBuffer Buffer(const std::string& bytes, std::size_t slice_bytes = 7) {
  std::vector<grpc::Slice> slices;
  for (std::size_t begin = 0; begin < bytes.size(); begin += slice_bytes) {
    slices.emplace_back(bytes.substr(begin, slice_bytes));
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

v1::ScorePairsRequest ThreePairs() {
  v1::ScorePairsRequest request;
  for (int idx = 0; idx < 3; ++idx) {
    v1::PreferencePair& pair = *request.add_pairs();
    pair.set_id("id");
    pair.mutable_prompt()->set_text("prompt \u4e16\u754c");
    pair.mutable_chosen()->mutable_conversation()->add_messages();
    pair.mutable_chosen()->mutable_conversation()->add_messages()->set_content("content");
    pair.mutable_rejected()->mutable_token_ids()->add_ids(1 << 30);
    pair.mutable_known()->set_policy_chosen_logp(-1);
  }
  request.mutable_options()->set_policy("policy");
  return request;
}

TEST(ParseRequestTest, ReadsWhatWasWritten) {
  const v1::ScorePairsRequest sent = ThreePairs();
  v1::ScorePairsRequest received;
  InvalidText invalid_text;
  ASSERT_TRUE(ParseRequest(Buffer(sent.SerializeAsString()), received, invalid_text).ok());
  EXPECT_EQ(received.SerializeAsString(), sent.SerializeAsString());
  EXPECT_THAT(invalid_text.fields, IsEmpty());
  InvalidText none;
  EXPECT_TRUE(ParseRequest(grpc::ByteBuffer(), received, none).ok()) << "an empty message has 0 bytes";
}

TEST(ParseRequestTest, NamesEveryStringThatIsNotUtf8AndKeepsTheRest) {
  v1::ScorePairsRequest sent = ThreePairs();
  sent.mutable_pairs(1)->mutable_prompt()->set_text("ab\xff");
  sent.mutable_pairs(2)->mutable_chosen()->mutable_conversation()->mutable_messages(1)->set_content("\xc0\x80");
  sent.mutable_options()->set_policy("\x80");
  v1::ScorePairsRequest received;
  InvalidText invalid_text;
  ASSERT_TRUE(ParseRequest(Buffer(sent.SerializePartialAsString()), received, invalid_text).ok());
  EXPECT_THAT(invalid_text.fields,
              ElementsAre("pairs[1].prompt.text", "pairs[2].chosen.conversation.messages[1].content",
                          "options.policy"));
  EXPECT_EQ(invalid_text.Under("pairs[1]"), "pairs[1].prompt.text");
  EXPECT_EQ(invalid_text.Under("pairs[0]"), "");
  EXPECT_EQ(invalid_text.Under("pairs[1].prom"), "");
  EXPECT_EQ(invalid_text.Under("options"), "options.policy");

  EXPECT_EQ(received.pairs(0).SerializeAsString(), sent.pairs(0).SerializeAsString());
  EXPECT_EQ(received.pairs(1).prompt().text(), "???");
  EXPECT_EQ(received.pairs(1).rejected().token_ids().ids(0), 1 << 30);
}

TEST(ParseRequestTest, RefusesWhatIsNoMessage) {
  const std::string good = ThreePairs().SerializeAsString();
  for (const std::string& bytes : {good.substr(0, good.size() - 3), std::string("\x0a\xff\xff\xff\xff\x0f"),
                                   std::string("\x0a\x05\xff"), std::string("\xff\xff\xff\xff"), "\x0f" + good}) {
    v1::ScorePairsRequest received;
    InvalidText invalid_text;
    const absl::Status status = ParseRequest(Buffer(bytes), received, invalid_text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("prefscore.v1.ScorePairsRequest"));
  }
}

// Every truncation and every single-byte change of a message with invalid text: an answer, never a crash.
TEST(ParseRequestTest, SurvivesDamagedMessages) {
  v1::ScorePairsRequest sent = ThreePairs();
  sent.mutable_pairs(1)->mutable_prompt()->set_text("ab\xff");
  const std::string good = sent.SerializePartialAsString();
  int num_refused = 0;
  for (std::size_t position = 0; position < good.size(); ++position) {
    for (const int change : {1, 0x7f, 0x80, 0xff}) {
      std::string bytes = good;
      bytes[position] = static_cast<char>(bytes[position] ^ change);
      v1::ScorePairsRequest received;
      InvalidText invalid_text;
      num_refused += !ParseRequest(Buffer(bytes), received, invalid_text).ok();
    }
    v1::ScorePairsRequest received;
    InvalidText invalid_text;
    num_refused += !ParseRequest(Buffer(good.substr(0, position)), received, invalid_text).ok();
  }
  EXPECT_GT(num_refused, 100);
}

TEST(ParseRequestTest, ARequestIsKnownAgainHoweverItsBytesArrive) {
  const std::string bytes = ThreePairs().SerializeAsString();
  EXPECT_EQ(Fingerprint(Buffer(bytes, 7)), Fingerprint(Buffer(bytes, bytes.size())));
  EXPECT_NE(Fingerprint(Buffer(bytes, 7)), Fingerprint(Buffer(bytes + " ", 7)));
  EXPECT_NE(Fingerprint(grpc::ByteBuffer()), 0);
}

}  // namespace
}  // namespace prefscore
