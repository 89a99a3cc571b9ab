// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/hosted_model.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/util/error_reason.h"
#include "tests/testing/fake_model.h"

namespace prefscore {
namespace {

using ::testing::HasSubstr;

HostedModel Loaded(const std::string& name) {
  return {.name = name, .lm = std::make_shared<testing::FakeModel>(name), .tokenizer = nullptr};
}

MissingModel Missing(const std::string& name) {
  return {.name = name, .reason = absl::NotFoundError("no config.json")};
}

TEST(HostedModelTest, AMissingModelKeepsItsNameAndItsRole) {
  const auto registry = ModelRegistry::Create({Loaded("policy")}, "policy", "reference", {Missing("reference")});
  ASSERT_TRUE(registry.ok()) << registry.status();
  EXPECT_EQ((*registry->Find("policy"))->name, "policy");
  EXPECT_EQ(registry->RoleOf("policy"), ModelRole::kPolicy);
  EXPECT_EQ(registry->RoleOf("reference"), ModelRole::kReference);
  const absl::Status missing = registry->Find("reference").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(missing), kModelNotLoadedReason);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("no config.json"));
  EXPECT_EQ(registry->Find("other").status().code(), absl::StatusCode::kNotFound);
}

TEST(HostedModelTest, RefusesWhatIsNoSetOfModels) {
  const auto code = [](const auto& registry) { return registry.status().code(); };
  constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code(ModelRegistry::Create({}, "p", "p", {Missing("p")})), kInvalid) << "none that answers";
  EXPECT_EQ(code(ModelRegistry::Create({Loaded("p")}, "p", "p", {Missing("p")})), kInvalid) << "a name used twice";
  EXPECT_EQ(code(ModelRegistry::Create({Loaded("p")}, "p", "r")), absl::StatusCode::kNotFound) << "unknown default";
}

}  // namespace
}  // namespace prefscore
