// |A|_2 by Lanczos' recursion: definite and indefinite matrices of known spectrum, zero, one row.
#include "mercer/spectral/norm.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/dense_operator.hpp"

namespace mercer::spectral {
namespace {

struct OperatorNorm : testing::Test {
  comm::Communicator world = comm::Communicator::world();

  /// H diag(lambda) H with the reflection H = I - 2 u u^T, u = 1/sqrt(n): the eigenvalues lambda.
  template <class Lambda>
  test::DenseOperator matrix(Index n, Lambda&& lambda) const {
    const double two = 2 / static_cast<double>(n);
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += lambda(i);
    return {world, n, [=](Index i, Index j) {
              return (i == j ? lambda(i) : 0) - two * (lambda(i) + lambda(j)) + two * two * sum;
            }};
  }
};

TEST_F(OperatorNorm, IsTheLargestModulusOfTheEigenvalues) {
  const auto decaying = matrix(60, [](Index i) { return 3 / static_cast<double>(i + 1); });
  EXPECT_NEAR(operator_norm(decaying), 3, 1e-10);
  const auto indefinite =
      matrix(60, [](Index i) { return i == 7 ? -2.0 : std::sin(0.1 * static_cast<double>(i)); });
  EXPECT_NEAR(operator_norm(indefinite), 2, 1e-8);
  EXPECT_LE(operator_norm(indefinite), 2 * (1 + 1e-14));  // from below
}

TEST_F(OperatorNorm, OfACloseSpectrumIsRightToItsTolerance) {
  const auto close = matrix(200, [](Index i) { return std::cos(0.001 * static_cast<double>(i)); });
  const double norm = operator_norm(close);
  EXPECT_LE(norm, 1 + 1e-14);
  EXPECT_GT(norm, 1 - 1e-4);
}

TEST_F(OperatorNorm, OfSmallAndZeroMatrices) {
  EXPECT_DOUBLE_EQ(operator_norm(test::DenseOperator(world, 1, [](Index, Index) { return -4.0; })),
                   4);
  EXPECT_EQ(operator_norm(test::DenseOperator(world, 9, [](Index, Index) { return 0.0; })), 0);
  EXPECT_NEAR(operator_norm(test::DenseOperator(world, 9, [](Index, Index) { return 1.0; })), 9,
              1e-13);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(
      std::isnan(operator_norm(test::DenseOperator(world, 9, [=](Index, Index) { return nan; }))));
}

TEST(Tridiagonal, LargestEigenvalue) {
  EXPECT_DOUBLE_EQ(largest_of_tridiagonal({-3}, {}), -3);
  EXPECT_NEAR(largest_of_tridiagonal({1, 1}, {2}), 3, 1e-14);
  EXPECT_NEAR(largest_of_tridiagonal({0, 0, 0}, {1, -1}), std::sqrt(2), 1e-14);
}

}  // namespace
}  // namespace mercer::spectral
