// SPDX-License-Identifier: Apache-2.0
// AdminService on its own listener.
#include <fstream>

#include "prefscore/v1/admin.grpc.pb.h"
#include "server/access/new_token.h"
#include "server/rpc/admin_server.h"
#include "tests/rpc/rpc_test_base.h"
#include "tests/testing/temp_folder.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AdminTest : public RpcTestBase {
 protected:
  ~AdminTest() override {
    admin_server_.reset();
    StopServer();
  }

  void UseTokens() {
    token_file_ = folder_.path() / "tokens.toml";
    std::ofstream(token_file_) << TokenFileEntry("operator", {Role::kAdmin}, "admin-secret")
                               << TokenFileEntry("trainer", {Role::kScore}, "score-secret");
  }

  void StartBoth() {
    Start();
    auto server = AdminServer::Start({.address = "127.0.0.1:0"},
                                     {.registry = registry_.get(),
                                      .scorer = scorer_.get(),
                                      .metrics = metrics_.get(),
                                      .logger = &logger_,
                                      .limits = limits_,
                                      .access = {tokens_.get()}},
                                     {.tokens = tokens_.get(), .logger = &logger_});
    ASSERT_TRUE(server.ok()) << server.status();
    admin_server_ = *std::move(server);
    admin_channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", admin_server_->port()),
                                         grpc::InsecureChannelCredentials());
    admin_ = v1::AdminService::NewStub(admin_channel_);
  }

  static std::unique_ptr<grpc::ClientContext> WithToken(const std::string& token) {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
    return context;
  }

  grpc::Status GetStatus(v1::GetStatusResponse* response, const std::string& token = "") {
    return admin_->GetStatus(WithToken(token).get(), {}, response);
  }

  testing::TempFolder folder_;
  std::unique_ptr<AdminServer> admin_server_;
  std::shared_ptr<grpc::Channel> admin_channel_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

TEST_F(AdminTest, TakesNoLongMessagesFromAnybody) {
  UseTokens();
  StartBoth();
  v1::GetStatusRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(1000, std::string(66'000, 'x'));
  v1::GetStatusResponse status;
  EXPECT_EQ(admin_->GetStatus(WithToken("").get(), request, &status).error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(GetStatus(&status, "admin-secret").ok()) << "others are served";
}

TEST_F(AdminTest, TellsWhatTheServerDoes) {
  limits_.max_batch_tokens = 1;
  CloseGate();
  StartBoth();
  v1::ScorePairsRequest request;
  for (int pair = 0; pair < 3; ++pair) *request.add_pairs() = IdPair({5}, {1}, {2});
  v1::ScorePairsResponse ignored;
  absl::Notification done;
  grpc::ClientContext context;
  scoring_->async()->ScorePairs(&context, &request, &ignored, [&](grpc::Status) { done.Notify(); });
  WaitUntil("two wait", [&] { return MetricValue("prefscore_queued_tokens", {{"priority", "interactive"}}) == 12; });

  v1::GetStatusResponse status;
  ASSERT_TRUE(GetStatus(&status).ok());
  EXPECT_EQ(status.server_version(), kVersion);
  EXPECT_LE(status.start_time().seconds(), absl::ToUnixSeconds(absl::Now()));
  EXPECT_GT(status.start_time().seconds(), absl::ToUnixSeconds(absl::Now() - absl::Hours(1)));
  ASSERT_EQ(status.models_size(), 4);
  EXPECT_EQ(status.models(0).name(), "policy");
  EXPECT_EQ(status.models(0).digest(), "digest-policy");
  ASSERT_EQ(status.queues_size(), 2);
  EXPECT_EQ(status.queues(0).priority(), "interactive");
  EXPECT_EQ(status.queues(0).num_tokens(), 12);
  EXPECT_GT(status.queues(0).num_bytes(), 0);
  EXPECT_EQ(status.queues(1).num_tokens(), 0);
  EXPECT_EQ(status.log_level(), v1::LOG_LEVEL_DEBUG);
  EXPECT_FALSE(status.has_token_file());
  OpenGate();
  done.WaitForNotification();
}

TEST_F(AdminTest, ChangesTheLevelOfTheLog) {
  StartBoth();
  v1::SetLogLevelRequest request;
  v1::SetLogLevelResponse response;
  for (const v1::LogLevel level : {v1::LOG_LEVEL_DEBUG, v1::LOG_LEVEL_ERROR, v1::LOG_LEVEL_WARNING}) {
    request.set_log_level(level);
    ASSERT_TRUE(admin_->SetLogLevel(WithToken("").get(), request, &response).ok());
  }
  EXPECT_EQ(response.previous_log_level(), v1::LOG_LEVEL_ERROR);
  EXPECT_EQ(logger_.level(), LogLevel::kWarning);
  for (const int level : {0, 77}) {
    request.set_log_level(static_cast<v1::LogLevel>(level));
    const grpc::Status status = admin_->SetLogLevel(WithToken("").get(), request, &response);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_EQ(DetailsOf(status).field, "log_level");
  }
  EXPECT_EQ(logger_.level(), LogLevel::kWarning);
}

TEST_F(AdminTest, TheLogTellsWhoChangesIt) {
  UseTokens();
  StartBoth();
  v1::SetLogLevelRequest request;
  v1::SetLogLevelResponse response;
  for (const v1::LogLevel level : {v1::LOG_LEVEL_ERROR, v1::LOG_LEVEL_WARNING}) {
    request.set_log_level(level);
    ASSERT_TRUE(admin_->SetLogLevel(WithToken("admin-secret").get(), request, &response).ok());
  }
  WaitUntil("both lines are written", [&] { return log_.Lines().size() >= 2; });
  EXPECT_THAT(log_.Lines(), ElementsAre(HasSubstr(" info log level from now on: error token=operator"),
                                        HasSubstr(" warning log level from now on: warning token=operator")));
}

TEST_F(AdminTest, NeedsTheRoleAdmin) {
  UseTokens();
  StartBoth();
  v1::GetStatusResponse status;
  v1::SetLogLevelResponse level;
  v1::ReloadTokensResponse reload;
  for (const auto& [token, code] : {std::pair{"", grpc::UNAUTHENTICATED}, {"score-secret", grpc::PERMISSION_DENIED}}) {
    EXPECT_EQ(GetStatus(&status, token).error_code(), code);
    EXPECT_EQ(admin_->SetLogLevel(WithToken(token).get(), {}, &level).error_code(), code);
    EXPECT_EQ(admin_->ReloadTokens(WithToken(token).get(), {}, &reload).error_code(), code);
  }
  EXPECT_TRUE(GetStatus(&status, "admin-secret").ok());
  EXPECT_EQ(status.token_file().num_tokens(), 2);
  EXPECT_EQ(status.token_file().path(), token_file_);
  EXPECT_EQ(MetricValue("prefscore_requests_total", {{"method", "GetStatus"}, {"code", "PERMISSION_DENIED"}}), 1);
}

TEST_F(AdminTest, ReadsTheTokenFileAtOnce) {
  UseTokens();
  StartBoth();
  std::ofstream(token_file_, std::ios::app) << TokenFileEntry("third", {Role::kScore}, "third-secret");
  v1::ReloadTokensResponse response;
  ASSERT_TRUE(admin_->ReloadTokens(WithToken("admin-secret").get(), {}, &response).ok());
  EXPECT_EQ(response.token_file().num_tokens(), 3);
  std::ofstream(token_file_) << "[[token]]";
  const grpc::Status status = admin_->ReloadTokens(WithToken("admin-secret").get(), {}, &response);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).reason, "BROKEN_TOKEN_FILE");
  EXPECT_THAT(status.error_message(), HasSubstr("token[0]: name: is missing"));
  v1::GetStatusResponse after;
  ASSERT_TRUE(GetStatus(&after, "admin-secret").ok());
  EXPECT_EQ(after.token_file().num_tokens(), 3);
  EXPECT_THAT(after.token_file().fault(), HasSubstr("name: is missing"));
}

TEST_F(AdminTest, WithoutATokenFileThereIsNothingToReload) {
  StartBoth();
  v1::ReloadTokensResponse response;
  const grpc::Status status = admin_->ReloadTokens(WithToken("").get(), {}, &response);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).reason, "NO_TOKEN_FILE");
}

TEST_F(AdminTest, EachListenerServesItsOwnServices) {
  StartBoth();
  v1::GetStatusResponse status;
  grpc::ClientContext context;
  EXPECT_EQ(v1::AdminService::NewStub(channel_)->GetStatus(&context, {}, &status).error_code(), grpc::UNIMPLEMENTED);
  v1::ListModelsResponse models;
  grpc::ClientContext other_context;
  EXPECT_EQ(v1::ModelService::NewStub(admin_channel_)->ListModels(&other_context, {}, &models).error_code(),
            grpc::UNIMPLEMENTED);
}

TEST_F(AdminTest, APortInUseIsAnError) {
  StartBoth();
  const auto second = AdminServer::Start(
      {.address = absl::StrCat("127.0.0.1:", admin_server_->port())},
      {.registry = registry_.get(), .scorer = scorer_.get(), .metrics = metrics_.get(), .logger = &logger_,
       .call_log = call_log_, .limits = limits_, .access = {}},
      {.tokens = nullptr, .logger = &logger_});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace prefscore
