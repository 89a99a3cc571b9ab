// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/counted_code.h"

#include <gtest/gtest.h>

namespace prefscore {
namespace {

const absl::Time kStart = absl::UnixEpoch();
const absl::Time kDeadline = kStart + absl::Seconds(10);

TEST(CountedCodeTest, WhatEndsAfterItsDeadlineMissedIt) {
  const absl::Time late = kDeadline + absl::Milliseconds(1);
  EXPECT_EQ(CountedCode(grpc::OK, kStart, kDeadline, late), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(CountedCode(grpc::CANCELLED, kStart, kDeadline, late), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(CountedCode(grpc::INTERNAL, kStart, kDeadline, late), grpc::INTERNAL) << "a fault stays one";
}

TEST(CountedCodeTest, ACancellationJustBeforeTheDeadlineIsTheClientsOwnDeadline) {
  const absl::Time just_before = kDeadline - absl::Milliseconds(149);
  EXPECT_EQ(CountedCode(grpc::CANCELLED, kStart, kDeadline, just_before), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(CountedCode(grpc::CANCELLED, kStart, kDeadline, kDeadline - absl::Milliseconds(151)), grpc::CANCELLED);
  EXPECT_EQ(CountedCode(grpc::OK, kStart, kDeadline, just_before), grpc::OK);
}

TEST(CountedCodeTest, WithoutDeadlineNoneIsMissed) {
  EXPECT_EQ(CountedCode(grpc::OK, kStart, absl::InfiniteFuture(), kStart), grpc::OK);
  EXPECT_EQ(CountedCode(grpc::CANCELLED, kStart, absl::InfiniteFuture(), kDeadline), grpc::CANCELLED);
}

}  // namespace
}  // namespace prefscore
