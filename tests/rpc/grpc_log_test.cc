// SPDX-License-Identifier: Apache-2.0
// That a real server's lines all come this way is tested in tests/e2e/security.
#include "server/rpc/grpc_log.h"

#include <gmock/gmock.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include "tests/testing/log_file.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

class GrpcLogTest : public ::testing::Test {
 protected:
  GrpcLogTest() { gpr_set_log_verbosity(GPR_LOG_SEVERITY_INFO); }

  testing::LogFile file_;
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(GrpcLogTest, LinesOfGrpcAreLinesOfTheLog) {
  {
    Logger logger(file_.options());
    {
      const GrpcLog log(logger, [this] { return now_; });
      gpr_log("/elsewhere/handshaker.cc", 7, GPR_LOG_SEVERITY_ERROR, "failed: %s", "two\nlines");
      gpr_log("handshaker.cc", 8, GPR_LOG_SEVERITY_INFO, "said");
    }
    gpr_log(GPR_ERROR, "after the log's end, on standard error");
  }
  EXPECT_THAT(file_.Lines(), ElementsAre(MatchesRegex(".*Z warning \"gRPC: failed: two.nlines\" source=handshaker.cc:7"),
                                         MatchesRegex(".*Z info gRPC: said source=handshaker.cc:8")));
}

TEST_F(GrpcLogTest, WhatIsRepeatedIsCounted) {
  {
    Logger logger(file_.options());
    const GrpcLog log(logger, [this] { return now_; });
    const auto say = [](int line) { gpr_log("handshaker.cc", line, GPR_LOG_SEVERITY_ERROR, "failed"); };
    for (int i = 0; i < 1000; ++i) say(7);
    say(8);
    now_ += absl::Seconds(1);
    say(7);
    now_ += absl::Seconds(1);
    say(7);
  }
  EXPECT_THAT(file_.Lines(), ElementsAre(MatchesRegex(".*failed source=handshaker.cc:7"),
                                         MatchesRegex(".*failed source=handshaker.cc:8"),
                                         MatchesRegex(".*failed source=handshaker.cc:7 held_back=999"),
                                         MatchesRegex(".*failed source=handshaker.cc:7")));
}

}  // namespace
}  // namespace prefscore
