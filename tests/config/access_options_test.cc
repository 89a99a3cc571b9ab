// SPDX-License-Identifier: Apache-2.0
#include "server/config/access_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace prefscore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(AccessOptionsTest, TheAdminServiceIsForThisMachineUnlessThereAreTokens) {
  EXPECT_TRUE(CheckOptions(AccessOptions(), {}).ok());
  EXPECT_TRUE(CheckOptions(AccessOptions(), {.admin = "127.0.0.1:1"}).ok());
  EXPECT_TRUE(CheckOptions({.token_file = "tokens.toml"}, {.admin = "0.0.0.0:1"}).ok());
  const absl::Status status = CheckOptions(AccessOptions(), {.admin = "0.0.0.0:1"});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(StartsWith("--admin-listen: '0.0.0.0:1'"), HasSubstr("--token-file"), HasSubstr("127.0.0.1")));
}

}  // namespace
}  // namespace prefscore
