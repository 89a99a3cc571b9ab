// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/call_totals.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/metrics/metrics.h"

namespace prefscore {
namespace {

TEST(CallTotalsTest, NamesMethodsCodesAndPairsThatOccurred) {
  Metrics metrics(std::vector<std::string>{"ScorePairs", "GetModel"}, std::vector<std::string>{});
  metrics.SetModels({{"policy", "policy", "d1", "float32", "mode-1"}});
  EXPECT_EQ(CallTotals(*metrics.registry()), "no call; pairs scored 0, failed 0");
  metrics.OnRequest("ScorePairs", 0, absl::Seconds(1));
  metrics.OnRequest("ScorePairs", 0, absl::Seconds(1));
  metrics.OnRequest("ScorePairs", 14, absl::Seconds(1));
  metrics.OnRequest("GetModel", 5, absl::Seconds(1));
  metrics.OnPairScored({"policy", "", 1, 1, std::nullopt});
  metrics.OnPairFailed(3);
  metrics.OnPairFailed(14);
  EXPECT_EQ(CallTotals(*metrics.registry()),
            "GetModel NOT_FOUND 1, ScorePairs OK 2, ScorePairs UNAVAILABLE 1; pairs scored 1, failed 2");
}

}  // namespace
}  // namespace prefscore
