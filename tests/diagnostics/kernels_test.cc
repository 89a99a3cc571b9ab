// SPDX-License-Identifier: Apache-2.0
// Both instruction sets give the same bits, for blocks of all sizes.
#include "server/diagnostics/kernels/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace prefscore {

extern const SumKernels kSumKernelsAvx2, kSumKernelsAvx512;
extern const ColumnKernels kColumnKernelsAvx2, kColumnKernelsAvx512;
extern const PointKernels kPointKernelsAvx2, kPointKernelsAvx512;

namespace {

using Column = std::vector<double>;

bool AreSame(const Column& x, const Column& y) {
  return x.size() == y.size() && (x.empty() || std::memcmp(x.data(), y.data(), x.size() * sizeof(double)) == 0);
}

class KernelsTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    if (!__builtin_cpu_supports("x86-64-v4")) GTEST_SKIP() << "no AVX-512 here";
  }

  Column Random(double scale) {
    Column column(GetParam());
    for (double& value : column) value = random_() % 9 == 0 ? 0 : scale * normal_(random_) * std::exp(normal_(random_));
    return column;
  }

  std::mt19937_64 random_{GetParam()};
  std::normal_distribution<double> normal_;
};

TEST_P(KernelsTest, SumsAgree) {
  const std::size_t count = GetParam();
  const Column xs = Random(10), ys = Random(1);
  const SumKernels& x2 = kSumKernelsAvx2;
  const SumKernels& x512 = kSumKernelsAvx512;
  EXPECT_EQ(x2.largest_magnitude(xs.data(), count), x512.largest_magnitude(xs.data(), count));
  EXPECT_EQ(x2.largest_product(xs.data(), ys.data(), count), x512.largest_product(xs.data(), ys.data(), count));
  if (count > 0) {
    EXPECT_EQ(x2.extremes(xs.data(), count).minimum, x512.extremes(xs.data(), count).minimum);
    EXPECT_EQ(x2.extremes(xs.data(), count).maximum, x512.extremes(xs.data(), count).maximum);
  }
  for (const int top : {0, 1, 2, 5}) {
    std::int64_t parts[2][kNumLevels] = {}, products[2][kNumLevels] = {};
    x2.split(xs.data(), count, top, parts[0]);
    x512.split(xs.data(), count, top, parts[1]);
    x2.split_products(xs.data(), ys.data(), count, top, products[0]);
    x512.split_products(xs.data(), ys.data(), count, top, products[1]);
    EXPECT_EQ(std::memcmp(parts[0], parts[1], sizeof(parts[0])), 0);
    EXPECT_EQ(std::memcmp(products[0], products[1], sizeof(products[0])), 0);
  }
}

TEST_P(KernelsTest, BucketsAgree) {
  const std::size_t count = GetParam();
  Column values = Random(1);
  const double smallest = std::ldexp(1.0, kLowestExponent);
  const double special[] = {smallest, -smallest, std::nextafter(smallest, 0), -0.0, 1, -1, 1e150, -1e150, 5e-324};
  std::copy_n(special, std::min(count, std::size(special)), values.begin());
  std::vector<std::int32_t> buckets[2] = {std::vector<std::int32_t>(count), std::vector<std::int32_t>(count)};
  kSumKernelsAvx2.find_buckets(values.data(), count, buckets[0].data());
  kSumKernelsAvx512.find_buckets(values.data(), count, buckets[1].data());
  EXPECT_EQ(buckets[0], buckets[1]);
  // And they are the buckets that hold the values.
  for (std::size_t i = 0; i < count; ++i) {
    int exponent;
    const double mantissa = std::frexp(std::fabs(values[i]), &exponent);  // in [0.5, 1)
    const double position =
        (2 * mantissa - 1) * kBucketsPerOctave + (exponent - 1 - kLowestExponent) * kBucketsPerOctave;
    const int bucket = std::fabs(values[i]) < smallest ? 0 : 1 + static_cast<int>(position);
    EXPECT_EQ(buckets[0][i], values[i] < 0 ? -bucket : bucket) << values[i];
  }
}

TEST_P(KernelsTest, ColumnsAgree) {
  const std::size_t count = GetParam();
  const Column pc = Random(10), pr = Random(10), rc = Random(10), rr = Random(10);
  const ColumnKernels* const sets[] = {&kColumnKernelsAvx2, &kColumnKernelsAvx512};
  std::vector<Column> results[2];
  for (int set = 0; set < 2; ++set) {
    const ColumnKernels& kernels = *sets[set];
    std::vector<Column>& out = results[set];
    out.assign(9, Column(count));
    const double* const logps[] = {pc.data(), pr.data(), rc.data(), rr.data()};
    kernels.compute_margins(logps, count, {out[0].data(), out[1].data(), out[2].data(), out[3].data()});
    kernels.compute_margins_per_token(pc.data(), pr.data(), rc.data(), rr.data(), count, out[4].data());
    for (double& value : out[4]) value = std::isnan(value) ? -1 : value;
    kernels.subtract(pc.data(), rr.data(), count, out[5].data());
    kernels.scale(pc.data(), 0.1, count, out[6].data());
    kernels.compute_masses(pc.data(), pr.data(), count, out[7].data());
    kernels.softplus(rc.data(), count, out[8].data());
    out.push_back({static_cast<double>(kernels.count_above(pc.data(), count, 1)),
                   static_cast<double>(kernels.count_below(pc.data(), count, 1)),
                   static_cast<double>(kernels.count_same_sign(pc.data(), pr.data(), count)),
                   static_cast<double>(kernels.count_both_below(pc.data(), pr.data(), count, 0))});
  }
  for (std::size_t i = 0; i < results[0].size(); ++i) EXPECT_TRUE(AreSame(results[0][i], results[1][i])) << i;
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_NEAR(results[0][8][i], std::log1p(std::exp(-std::fabs(rc[i]))) + std::fmax(rc[i], 0),
                1e-15 * std::fabs(rc[i]) + 4e-16);
  }
}

TEST_P(KernelsTest, PointsAgree) {
  const std::size_t count = GetParam();
  const Column loss = Random(1), logit = Random(5), by_chosen = Random(0.1), by_rejected = Random(0.1);
  PointCounts counts[2];
  PointParts parts[2];
  Column masses[2], squares[2];
  for (int set = 0; set < 2; ++set) {
    const PointKernels& kernels = set == 0 ? kPointKernelsAvx2 : kPointKernelsAvx512;
    masses[set] = by_chosen;
    squares[set] = by_rejected;
    const PointColumns columns = {loss.data(), logit.data(), masses[set].data(), squares[set].data()};
    counts[set] = kernels.count(columns, count, {1, 4});
    parts[set] = {.loss_top = 1, .mass_top = 0, .square_top = 0, .loss = {}, .mass = {}, .square = {}};
    kernels.split(columns, count, parts[set]);
  }
  EXPECT_EQ(std::memcmp(&counts[0], &counts[1], sizeof(counts[0])), 0);
  EXPECT_EQ(std::memcmp(&parts[0], &parts[1], sizeof(parts[0])), 0);
  EXPECT_TRUE(AreSame(masses[0], masses[1]));
  EXPECT_TRUE(AreSame(squares[0], squares[1]));
  // And they are what plain loops find.
  std::int64_t num_positive = 0, num_learning = 0, num_saturated = 0;
  for (std::size_t i = 0; i < count; ++i) {
    num_positive += logit[i] > 0;
    num_learning += logit[i] < 1;
    num_saturated += logit[i] > 4;
    EXPECT_EQ(masses[0][i], 0.5 * (std::fabs(by_chosen[i]) + std::fabs(by_rejected[i])));
    EXPECT_EQ(squares[0][i], masses[0][i] * masses[0][i]);
  }
  EXPECT_EQ(counts[0].num_positive, num_positive);
  EXPECT_EQ(counts[0].num_learning, num_learning);
  EXPECT_EQ(counts[0].num_saturated, num_saturated);
}

INSTANTIATE_TEST_SUITE_P(Sizes, KernelsTest, ::testing::Values(0, 1, 3, 4, 7, 8, 9, 31, 256, 1000, 1023, 1024));

}  // namespace
}  // namespace prefscore
