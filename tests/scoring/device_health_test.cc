// SPDX-License-Identifier: Apache-2.0
#include "server/scoring/device_health.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefscore {
namespace {

using ::testing::ElementsAre;

TEST(DeviceHealthTest, TellsEachChangeOnce) {
  DeviceHealth health;
  std::vector<bool> told;
  health.Watch([&told](bool is_healthy) { told.push_back(is_healthy); });
  EXPECT_THAT(told, ElementsAre(true));
  for (const bool has_succeeded : {false, false, true, false, false}) health.OnBatch(has_succeeded);
  EXPECT_THAT(told, ElementsAre(true)) << "never three in a row";
  for (int batch = 0; batch < 10; ++batch) health.OnBatch(false);
  EXPECT_THAT(told, ElementsAre(true, false));
  health.OnBatch(true);
  EXPECT_THAT(told, ElementsAre(true, false, true));
}

TEST(DeviceHealthTest, WhoComesLaterIsToldAndWhoLeftIsNot) {
  DeviceHealth health;
  for (int batch = 0; batch < DeviceHealth::kFailedBatches; ++batch) health.OnBatch(false);
  std::vector<bool> told;
  health.Watch([&told](bool is_healthy) { told.push_back(is_healthy); });
  EXPECT_THAT(told, ElementsAre(false));
  health.Watch(nullptr);
  health.OnBatch(true);
  EXPECT_THAT(told, ElementsAre(false));
}

}  // namespace
}  // namespace prefscore
