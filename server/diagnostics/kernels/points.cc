// SPDX-License-Identifier: Apache-2.0
#include "server/diagnostics/kernels/kernels.h"
#include "server/diagnostics/kernels/splitter.h"

namespace prefscore {
namespace {

PointCounts CountPoint(const PointColumns& columns, size_t count, const LogitThresholds& thresholds) {
  const PointColumns in = columns;
  const double learning = thresholds.learning;
  const double saturation = thresholds.saturation;
  IntLanes largest_loss{}, largest_logit{}, largest_mass{};
  IntLanes positive{}, negative{}, learns{}, saturated{};  // negated: a comparison gives -1
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Lanes logit = Load(in.logit + i);
    const Lanes mass = 0.5 * (AbsLanes(Load(in.by_policy_chosen + i)) + AbsLanes(Load(in.by_policy_rejected + i)));
    Store(in.by_policy_chosen + i, mass);
    Store(in.by_policy_rejected + i, mass * mass);
    positive += logit > 0.0;
    negative += logit < 0.0;
    learns += logit < learning;
    saturated += logit > saturation;
    largest_loss = MaxLanes(largest_loss, Bits(AbsLanes(Load(in.loss + i))));
    largest_logit = MaxLanes(largest_logit, Bits(AbsLanes(logit)));
    largest_mass = MaxLanes(largest_mass, Bits(mass));
  }
  PointCounts counts = {-SumOf(positive),        -SumOf(negative),         -SumOf(learns),         -SumOf(saturated),
                        LargestOf(largest_loss), LargestOf(largest_logit), LargestOf(largest_mass)};
  const auto keep_largest = [](uint64_t& largest, double value) {
    const uint64_t bits = static_cast<uint64_t>(ToBits(Abs(value)));
    largest = bits > largest ? bits : largest;
  };
  for (; i < count; ++i) {
    const double logit = in.logit[i];
    const double mass = 0.5 * (Abs(in.by_policy_chosen[i]) + Abs(in.by_policy_rejected[i]));
    in.by_policy_chosen[i] = mass;
    in.by_policy_rejected[i] = mass * mass;
    counts.num_positive += logit > 0.0;
    counts.num_negative += logit < 0.0;
    counts.num_learning += logit < learning;
    counts.num_saturated += logit > saturation;
    keep_largest(counts.largest_loss, in.loss[i]);
    keep_largest(counts.largest_logit, logit);
    keep_largest(counts.largest_mass, mass);
  }
  return counts;
}

void SplitPoint(const PointColumns& columns, size_t count, PointParts& parts) {
  const PointColumns in = columns;
  Splitter loss(parts.loss_top), mass(parts.mass_top), square(parts.square_top);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    loss.Add(Load(in.loss + i));
    mass.Add(Load(in.by_policy_chosen + i));
    square.Add(Load(in.by_policy_rejected + i));
  }
  if (i < count) {
    loss.Add(LoadTail(in.loss + i, count - i, 0.0));
    mass.Add(LoadTail(in.by_policy_chosen + i, count - i, 0.0));
    square.Add(LoadTail(in.by_policy_rejected + i, count - i, 0.0));
  }
  loss.AddTo(parts.loss);
  mass.AddTo(parts.mass);
  square.AddTo(parts.square);
}

}  // namespace

extern const PointKernels PREFSCORE_KERNEL_TABLE(kPointKernels);
const PointKernels PREFSCORE_KERNEL_TABLE(kPointKernels) = {&CountPoint, &SplitPoint};

}  // namespace prefscore
