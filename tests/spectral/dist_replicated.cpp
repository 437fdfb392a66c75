#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/spectral/replicated.hpp"

namespace mercer::spectral {
namespace {

using comm::Communicator;

/// min(i, j): eigenvalues 1/(4 sin^2((2 i - 1) pi/(4 m + 2))).
Matrix<double> min_matrix(Index m) {
  Matrix<double> T(m, m);
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < m; ++i) T(i, j) = static_cast<double>(std::min(i, j) + 1);
  return T;
}

TEST(ReplicatedEigenpairs, AreExactOnOneRankAndOnMany) {
  const auto world = Communicator::world();
  for (const Index m : {0, 1, 70, 530, 1030}) {
    SCOPED_TRACE(m);
    const auto T = min_matrix(m);
    const auto pairs = replicated_eigenpairs(world, T.view());
    ASSERT_EQ(std::ssize(pairs.values), m);
    double largest = 0, error = 0;
    for (Index i = 0; i < m; ++i) {
      const double angle =
          M_PI * static_cast<double>(2 * (m - i) - 1) / static_cast<double>(4 * m + 2);
      const double exact = 0.25 / (std::sin(angle) * std::sin(angle));
      largest = std::max(largest, exact);
      error = std::max(error, std::abs(pairs.values[static_cast<std::size_t>(i)] - exact));
    }
    EXPECT_LE(error, 1e-13 * largest);
    if (!world.root()) {
      EXPECT_EQ(pairs.vectors.size(), 0);
      continue;
    }
    ASSERT_EQ(pairs.vectors.cols(), m);
    // Columns at both ends and between them: T v = lambda v, and orthonormal.
    for (const Index j : {Index{0}, m / 2, m - 1})
      for (const Index l : {Index{0}, m / 3, m - 1}) {
        if (m == 0) continue;
        double dot = 0;
        for (Index i = 0; i < m; ++i) dot += pairs.vectors(i, j) * pairs.vectors(i, l);
        EXPECT_NEAR(dot, j == l ? 1 : 0, 1e-12);
      }
    for (const Index j : {Index{0}, m / 2, m - 1})
      for (Index i = 0; m > 0 && i < m; i += 1 + m / 20) {
        double image = 0;
        for (Index l = 0; l < m; ++l) image += T(i, l) * pairs.vectors(l, j);
        EXPECT_NEAR(image, pairs.values[static_cast<std::size_t>(j)] * pairs.vectors(i, j),
                    1e-12 * largest);
      }
  }
}

TEST(ReplicatedEigenpairs, RefuseWhatIsNotFinite) {
  for (const Index m : {3, 600}) {
    auto T = min_matrix(m);
    T(2, 1) = NAN;
    EXPECT_THROW(replicated_eigenpairs(Communicator::world(), T.view()), RunError);
  }
}

}  // namespace
}  // namespace mercer::spectral
