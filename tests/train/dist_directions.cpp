#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/train/directions.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::train {
namespace {

using dist::RowBlock;
using msk::ModifiedSpectrum;
using msk::SpectrumMap;
using test::HouseholderMatrix;

constexpr Index kBlock = 4;

template <class T>
struct DirectionsTest : testing::Test {
  static constexpr double tolerance = std::is_same_v<T, double> ? 1e-12 : 2e-6;
  comm::Communicator world = comm::Communicator::world();
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(DirectionsTest, Precisions);

TYPED_TEST(DirectionsTest, MeasureAResidualAlongChosenEigenvectors) {
  using T = TypeParam;
  for (const auto shape : test::grid_shapes(this->world.size())) {
    const dist::ProcessGrid grid(this->world, shape);
    const Index n = 26, k = 20, outputs = 3;
    const auto lambda = test::geometric(n, 1.5, 0.9);
    const HouseholderMatrix K(lambda);
    const auto pairs = test::householder_pairs<double>(lambda, k, grid, kBlock);
    const std::vector<Index> which{1, 4, 5, 19, 20};
    const auto ratio = test::mapped("flat", pairs).ratio();
    const Directions<T> directions(pairs, which, ratio), plain(pairs, which, {});
    const auto measured =
        directions.measure(this->world, test::sines<T>(this->world, n, outputs).transposed());
    ASSERT_EQ(measured.size(), which.size());
    EXPECT_EQ(directions.which(), which);
    for (std::size_t i = 0; i < which.size(); ++i) {
      const auto mode = static_cast<std::size_t>(which[i] - 1);
      double square = 0;
      for (Index a = 0; a < outputs; ++a) {
        double p = 0;
        for (Index j = 0; j < n; ++j) p += K.eigenvector(j, which[i] - 1) * test::sine(j, a);
        square += p * p;
      }
      EXPECT_NEAR(measured[i], std::sqrt(square), 10 * this->tolerance);
      EXPECT_NEAR(directions.rates()[i], static_cast<double>(n) * lambda[k], 1e-12);
      EXPECT_NEAR(plain.rates()[i], static_cast<double>(n) * lambda[mode], 1e-12);
    }
  }
}

TYPED_TEST(DirectionsTest, ThatAreNotThereOrDoNotAscendAreRefused) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto pairs =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 6, grid, kBlock);
  EXPECT_TRUE(Directions<T>().empty());
  EXPECT_TRUE(Directions<T>().measure(this->world, Matrix<T>(1, 0).view()).empty());
  for (const std::vector<Index>& which :
       {std::vector<Index>{0}, {7}, {-1}, {2, 2}, {3, 1}, {1, 2, 7}})
    EXPECT_THROW(Directions<T>(pairs, which, {}), InputError);
}

}  // namespace
}  // namespace mercer::train
