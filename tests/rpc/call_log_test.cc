// SPDX-License-Identifier: Apache-2.0
// The line that each call leaves in the log, and what goes back to the caller so that it can be found.
#include "server/rpc/call_log.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "prefscore/v1/diagnostics.grpc.pb.h"
#include "server/access/new_token.h"
#include "tests/rpc/rpc_test_base.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kTraceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

class CallLogTest : public RpcTestBase {
 protected:
  using Metadata = std::vector<std::pair<std::string, std::string>>;

  static v1::ScorePairsRequest Request() {
    v1::ScorePairsRequest request;
    *request.add_pairs() = IdPair({1}, {2}, {3, 4});
    return request;
  }

  // Calls and keeps the trailing metadata.
  grpc::Status Call(const v1::ScorePairsRequest& request, const Metadata& metadata = {}) {
    grpc::ClientContext context;
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    v1::ScorePairsResponse response;
    const grpc::Status status = scoring_->ScorePairs(&context, request, &response);
    trailers_.clear();
    for (const auto& [key, value] : context.GetServerTrailingMetadata()) {
      trailers_[{key.begin(), key.end()}] = {value.begin(), value.end()};
    }
    return status;
  }

  // The first line of a call's end. Fails the test where none comes.
  std::string CallLine() {
    std::string found;
    WaitUntil("the call is logged", [&] {
      for (const std::string& line : log_.Lines()) {
        if (absl::StrContains(line, " call method=")) found = line;
      }
      return !found.empty();
    });
    return found;
  }

  std::map<std::string, std::string> trailers_;
};

TEST_F(CallLogTest, ACallIsALineWithCountsAndTimes) {
  Start();
  ASSERT_TRUE(Call(Request(), {{"x-request-id", "my id-1"}, {"traceparent", kTraceparent}}).ok());
  EXPECT_THAT(CallLine(),
              AllOf(HasSubstr("Z debug call method=ScorePairs code=OK request_id=\"my id-1\" "
                              "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id="),
                    HasSubstr(" parent_span_id=00f067aa0ba902b7 peer=ipv4:127.0.0.1:"),
                    HasSubstr(" models=policy,reference scored=1 failed=0 tokens=8 cached_tokens=0 total_us="),
                    ContainsRegex(" total_us=[0-9]+ queue_us=[0-9]+ tokenize_us=[0-9]+ cache_lookup_us=[0-9]+ "
                                  "forward_us.policy=[0-9]+ forward_us.reference=[0-9]+$")));
  EXPECT_EQ(trailers_["x-request-id"], "my id-1");
  EXPECT_THAT(trailers_["traceresponse"], ContainsRegex("^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01$"));
  EXPECT_THAT(CallLine(), HasSubstr(" span_id=" + trailers_["traceresponse"].substr(36, 16) + " "));
}

TEST_F(CallLogTest, ACallWithoutAValidIdGetsOne) {
  Start();
  for (const std::string& invalid : {std::string(), std::string(129, 'x')}) {
    ASSERT_TRUE(Call(Request(), {{"x-request-id", invalid}}).ok());
    EXPECT_THAT(trailers_["x-request-id"], ContainsRegex("^[0-9a-f]{32}$"));
  }
  ASSERT_TRUE(Call(Request(), {{"x-request-id", "a"}, {"x-request-id", "b"}}).ok());
  EXPECT_THAT(trailers_["x-request-id"], ContainsRegex("^[0-9a-f]{32}$"));
  ASSERT_TRUE(Call(Request(), {{"traceparent", "not one"}}).ok());
  EXPECT_EQ(trailers_.count("traceresponse"), 0);
  EXPECT_THAT(CallLine(), Not(HasSubstr("trace_id")));
}

TEST_F(CallLogTest, AnErrorOfTheCallersIsToldByItsFieldOnly) {
  Start();
  v1::ScorePairsRequest request = Request();
  request.mutable_options()->set_policy("a secret name");
  EXPECT_FALSE(Call(request).ok());
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" info call method=ScorePairs code=NOT_FOUND "),
                                HasSubstr(" field=options.policy"), Not(HasSubstr("secret"))));
}

TEST_F(CallLogTest, NamesThatTheCallerMadeAreNoPartOfAField) {
  Start();
  v1::ScorePairsRequest request = Request();
  v1::Objective& objective = *request.mutable_options()->add_objectives();
  objective.set_name("sigmoid");
  (*objective.mutable_parameters())["secret"].set_number(1);
  EXPECT_FALSE(Call(request).ok());
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" field=options.objectives[0].parameters"), Not(HasSubstr("secret"))));
}

TEST_F(CallLogTest, AnErrorOfTheServersIsToldInFull) {
  Start();
  scorer_->Drain(absl::ZeroDuration());
  EXPECT_EQ(Call(Request()).error_code(), grpc::UNAVAILABLE);
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" code=UNAVAILABLE "), HasSubstr(" error=\"")));
}

TEST_F(CallLogTest, WhoAsksForContentGetsIt) {
  call_log_.with_content = true;
  Start();
  v1::ScorePairsRequest request;
  *request.add_pairs() = TextPair("the prompt\n", "good", "bad");
  request.mutable_options()->set_policy("nobody");
  EXPECT_FALSE(Call(request).ok());
  EXPECT_THAT(CallLine(), HasSubstr(" error=\"options.policy: "));
  EXPECT_THAT(log_.Lines()[0], AllOf(HasSubstr(" info message method=ScorePairs request_id="),
                                     HasSubstr(" content=\"{"), HasSubstr("the prompt"), HasSubstr("nobody")));
}

TEST_F(CallLogTest, ASlowCallIsAWarning) {
  call_log_.slow_call = absl::ZeroDuration();
  Start();
  logger_.SetLevel(LogLevel::kWarning);
  ASSERT_TRUE(Call(Request()).ok());
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" warning slow call method=ScorePairs code=OK "), HasSubstr(" queue_us=")));
}

TEST_F(CallLogTest, SuccessesAreNotLoggedAtTheDefaultLevel) {
  Start();
  logger_.SetLevel(LogLevel::kInfo);
  ASSERT_TRUE(Call(Request()).ok());
  v1::ScorePairsRequest empty;
  EXPECT_FALSE(Call(empty).ok());
  EXPECT_THAT(CallLine(), HasSubstr("code=INVALID_ARGUMENT"));
  EXPECT_THAT(log_.Lines(), ::testing::SizeIs(1));
}

TEST_F(CallLogTest, AStreamIsOneLineAtItsEnd) {
  Start();
  logger_.SetLevel(LogLevel::kInfo);
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "s");
  const auto stream = scoring_->StreamScorePairs(&context);
  v1::StreamScorePairsRequest message;
  message.mutable_options();
  ASSERT_TRUE(stream->Write(message));
  *message.mutable_pair() = IdPair({1}, {2}, {3});
  ASSERT_TRUE(stream->Write(message));
  message.mutable_pair()->mutable_chosen()->clear_token_ids();
  ASSERT_TRUE(stream->Write(message));
  stream->WritesDone();
  for (v1::StreamScorePairsResponse response; stream->Read(&response);) {
  }
  ASSERT_TRUE(stream->Finish().ok());
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" info call method=StreamScorePairs code=OK request_id=s "),
                                HasSubstr(" models=policy,reference scored=1 failed=1 tokens=6 ")));
}

TEST_F(CallLogTest, ACancelledStreamIsLoggedAsSuch) {
  Start();
  grpc::ClientContext context;
  const auto stream = scoring_->StreamScorePairs(&context);
  v1::StreamScorePairsRequest message;
  message.mutable_options();
  ASSERT_TRUE(stream->Write(message));
  absl::SleepFor(kTravelTime);
  context.TryCancel();
  stream->Finish();
  EXPECT_THAT(CallLine(), HasSubstr(" info call method=StreamScorePairs code=CANCELLED "));
}

TEST_F(CallLogTest, AnAnalysisIsOneLine) {
  Start();
  const auto diagnostics = v1::DiagnosticsService::NewStub(channel_);
  grpc::ClientContext context;
  v1::AnalyzePairsResponse response;
  const auto writer = diagnostics->AnalyzePairs(&context, &response);
  v1::AnalyzePairsRequest message;
  message.mutable_options();
  *message.add_pairs() = IdPair({1}, {2}, {3});
  writer->Write(message);
  writer->WritesDone();
  ASSERT_TRUE(writer->Finish().ok());
  EXPECT_THAT(CallLine(),
              AllOf(HasSubstr(" info call method=AnalyzePairs code=OK "), HasSubstr(" scored=1 failed=0 ")));
}

// Who calls with a token is told by its name, never by the token.
class CallLogWithTokensTest : public CallLogTest {
 protected:
  CallLogWithTokensTest() {
    token_file_ = folder_.path() / "tokens.toml";
    std::ofstream(token_file_) << TokenFileEntry("trainer", {Role::kScore}, "a-secret");
    context_.AddMetadata("authorization", "Bearer a-secret");
  }

  testing::TempFolder folder_;
  grpc::ClientContext context_;
};

TEST_F(CallLogWithTokensTest, ACallTellsTheNameOfItsToken) {
  Start();
  v1::ScorePairsResponse response;
  ASSERT_TRUE(scoring_->ScorePairs(&context_, Request(), &response).ok());
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" code=OK "), HasSubstr(" token=trainer "), Not(HasSubstr("secret"))));
}

TEST_F(CallLogWithTokensTest, AStreamTellsTheNameOfItsToken) {
  Start();
  const auto stream = scoring_->StreamScorePairs(&context_);
  stream->WritesDone();
  stream->Finish();
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" method=StreamScorePairs "), HasSubstr(" token=trainer "),
                                Not(HasSubstr("secret"))));
}

TEST_F(CallLogWithTokensTest, AnAnalysisTellsTheNameOfItsToken) {
  Start();
  v1::AnalyzePairsResponse response;
  const auto diagnostics = v1::DiagnosticsService::NewStub(channel_);
  const auto writer = diagnostics->AnalyzePairs(&context_, &response);
  writer->WritesDone();
  writer->Finish();
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" method=AnalyzePairs "), HasSubstr(" token=trainer "),
                                Not(HasSubstr("secret"))));
}

TEST_F(CallLogWithTokensTest, AWrongTokenIsNotLogged) {
  Start();
  EXPECT_EQ(Call(Request(), {{"authorization", "Bearer another-secret"}}).error_code(), grpc::UNAUTHENTICATED);
  EXPECT_THAT(CallLine(), AllOf(HasSubstr(" info call method=ScorePairs code=UNAUTHENTICATED "),
                                Not(HasSubstr("token=")), Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace prefscore
