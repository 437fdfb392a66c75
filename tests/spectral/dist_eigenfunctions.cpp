// Nystrom extensions of eigenvectors on the circle, where cosines and sines are known to be the
// eigenfunctions; their Gram matrix and its sampling errors; what depends on no basis.
#include "mercer/spectral/eigenfunctions.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/kernel/kernel.hpp"
#include "support/grids.hpp"

namespace mercer::spectral {
namespace {

constexpr Index kBlock = 5;
constexpr double kTurn = 2 * std::numbers::pi;

struct Eigenfunctions : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  /// With biases: constant, then cos and sin of rising frequency.
  gram::Source kernel = gram::Source::function(kernel::make(
      {.architecture = arch::parse("dense relu dense", {.weight_std = 1.2, .bias_std = 0.7})}));

  template <class Angle>
  RowBlock<double> circle(Index n, Angle&& angle) const {
    return test::row_block(world, n, 2, [&](Index i, Index a) {
      return a == 0 ? std::cos(angle(i)) : std::sin(angle(i));
    });
  }
  RowBlock<double> equispaced(Index n, double from = 0) const {
    return circle(
        n, [=](Index i) { return from + kTurn * static_cast<double>(i) / static_cast<double>(n); });
  }
  RowBlock<double> random(Index n, std::uint32_t part) const {
    const Random uniform(3, Stream::test, part);
    return circle(n,
                  [&](Index i) { return kTurn * uniform.uniform(static_cast<std::uint64_t>(i)); });
  }
  test::Dense whole(const dist::DistMatrix<double>& A) const {
    RowBlock<double> rows(world, A.rows(), A.cols());
    dist::copy(A, rows);
    return test::replicated(rows);
  }
  template <class T = double>
  Eigenpairs<T> pairs(const RowBlock<double>& X, Index top, const dist::ProcessGrid& grid) const {
    return eigenpairs(gram::assemble<T>(kernel, X, grid, {.nb = kBlock}), {.top = top});
  }
};

TEST_F(Eigenfunctions, ExtendTheVectorsOfTheTrainingRows) {
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto X = random(40, 0);
    const auto found = pairs(X, 7, grid);
    const auto phi = test::replicated(eigenfunctions(kernel, X, X, found));
    const auto V = whole(found.vectors);
    ASSERT_EQ(phi.cols(), 7);
    for (Index j = 0; j < 7; ++j)
      for (Index i = 0; i < 40; ++i)
        EXPECT_NEAR(phi(i, j), std::sqrt(40.0) * V(i, j), 1e-9);  // eps lambda_1/lambda_7
  }
}

TEST_F(Eigenfunctions, OfEquispacedPointsAreCosinesAndSines) {
  const dist::ProcessGrid grid(world);
  const Index n = 384, m = 30;
  const auto X = equispaced(n), Z = equispaced(m, 0.123);
  const auto found = pairs(X, 7, grid);
  const auto all = spaces(found.values, 1e-12);
  ASSERT_EQ(all.size(), 4U);
  const auto phi = test::replicated(eigenfunctions(kernel, Z, X, found));
  for (std::size_t s = 0; s < all.size(); ++s) {
    EXPECT_EQ(all[s].size, s == 0 ? 1 : 2);
    // sum_i phi_i(z) phi_i(z') is 1 or 2 cos(s (z - z')), whatever the basis. Sums over n points in
    // place of integrals alias the kernel's coefficients of frequencies n, 2 n, ..., which are
    // below lambda_1/n^2, n^-2/4, ...
    const double aliased =
        4 * found.values.front() / (n * n * found.values[static_cast<std::size_t>(all[s].first)]);
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < m; ++j) {
        double sum = 0;
        for (Index f = 0; f < all[s].size; ++f)
          sum += phi(i, all[s].first + f) * phi(j, all[s].first + f);
        const double angle = kTurn * static_cast<double>(s) * static_cast<double>(i - j) / m;
        EXPECT_NEAR(sum, (s == 0 ? 1 : 2) * std::cos(angle), aliased) << s;
      }
  }
}

TEST_F(Eigenfunctions, OfRandomPointsApproachTheseAsTheRootOfTheirNumber) {
  const dist::ProcessGrid grid(world);
  const auto Z = equispaced(64);
  const auto error_of = [&](Index n) {
    double worst = 0, sum_of_runs = 0;
    constexpr std::uint32_t kRuns = 6;
    for (std::uint32_t run = 0; run < kRuns; ++run) {
      const auto X = random(n, run);
      const auto phi = test::replicated(eigenfunctions(kernel, Z, X, pairs(X, 3, grid)));
      double square = 0;
      for (Index i = 0; i < 64; ++i) {
        const double sum = phi(i, 1) * phi(i, 1) + phi(i, 2) * phi(i, 2);
        square += std::pow(sum - 2, 2) / 64;
      }
      worst = std::max(worst, std::sqrt(square));
      sum_of_runs += square / kRuns;
    }
    EXPECT_LT(worst, 40 / std::sqrt(static_cast<double>(n)));
    return std::sqrt(sum_of_runs);
  };
  const double few = error_of(50), many = error_of(800);
  EXPECT_GT(few / many, 2);  // 4 without the scatter of six runs
  EXPECT_LT(few / many, 8);
}

TEST_F(Eigenfunctions, TheGramMatrixIsTheIdentityUpToSampling) {
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto X = equispaced(96);
    const auto found = pairs(X, 9, grid);
    const Index m = 500;
    const auto phi = eigenfunctions(kernel, random(m, 9), X, found);
    const auto gram = gram_of_functions(phi, grid, kBlock);
    const auto G = whole(gram.G), error = whole(gram.error);
    const auto values = test::replicated(phi);
    for (Index i = 0; i < 9; ++i)
      for (Index j = 0; j < 9; ++j) {
        double mean = 0, square = 0;
        for (Index z = 0; z < m; ++z) {
          const double product = values(z, i) * values(z, j);
          mean += product / m;
          square += product * product / m;
        }
        EXPECT_NEAR(G(i, j), mean, 1e-12);
        EXPECT_NEAR(error(i, j), std::sqrt((square - mean * mean) / (m - 1)), 1e-9);
        EXPECT_LT(std::abs(G(i, j) - (i == j ? 1 : 0)), 5 * error(i, j) + 1e-4) << i << " " << j;
      }
    const auto all = spaces(found.values, 1e-12);
    for (const auto& check : check_spaces(gram, all)) {
      EXPECT_LT(check.deviation, 4 * check.deviation_error + 1e-4);
      EXPECT_LT(check.mixing, 4 * check.mixing_error + 1e-4);
      EXPECT_NEAR(check.square, 1, 4 * check.deviation_error + 1e-4);
    }
  }
}

TEST_F(Eigenfunctions, WhatIsSaidOfASpaceDoesNotDependOnItsBasis) {
  const dist::ProcessGrid grid(world);
  const Index m = 60;
  const auto functions = [&](double turn) {
    return test::row_block(world, m, 3, [&](Index i, Index j) {
      const double t = std::sin(static_cast<double>(i * i + 1)), a = 1 + t, b = t * t - 0.3;
      const double c = std::cos(turn), s = std::sin(turn);
      return j == 0 ? t : j == 1 ? c * a + s * b : c * b - s * a;
    });
  };
  const std::vector<Space> all{{0, 1}, {1, 2}};
  const auto before = check_spaces(gram_of_functions(functions(0), grid, kBlock), all);
  const auto after = check_spaces(gram_of_functions(functions(0.7), grid, kBlock), all);
  for (std::size_t s = 0; s < 2; ++s) {
    EXPECT_NEAR(before[s].square, after[s].square, 1e-12);
    EXPECT_NEAR(before[s].deviation, after[s].deviation, 1e-12);
    EXPECT_NEAR(before[s].deviation_error, after[s].deviation_error, 1e-12);
    EXPECT_NEAR(before[s].mixing, after[s].mixing, 1e-12);
    EXPECT_NEAR(before[s].mixing_error, after[s].mixing_error, 1e-12);
  }
}

TEST_F(Eigenfunctions, InSinglePrecision) {
  const dist::ProcessGrid grid(world);
  const auto X = random(40, 0), Z = random(11, 1);
  const auto exact = test::replicated(eigenfunctions(kernel, Z, X, pairs(X, 3, grid)));
  const auto found = test::replicated(eigenfunctions(kernel, Z, X, pairs<float>(X, 3, grid)));
  for (Index j = 0; j < 3; ++j)
    for (Index i = 0; i < 11; ++i) EXPECT_NEAR(found(i, j), exact(i, j), 1e-4);
}

TEST_F(Eigenfunctions, SpacesAreGroupsOfEqualEigenvalues) {
  const std::vector<double> values{4, 2, 2 - 1e-9, 1, 1, 1 - 3e-9, 0.5};
  const auto found = spaces(values, 1e-9);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[1].first, 1);
  EXPECT_EQ(found[1].size, 2);
  EXPECT_EQ(found[2].size, 3);
  EXPECT_EQ(found[3].first, 6);
  EXPECT_TRUE(spaces({}, 1).empty());
}

TEST_F(Eigenfunctions, WhatHasNoneIsRefused) {
  const dist::ProcessGrid grid(world);
  const auto X = equispaced(12), Z = equispaced(5, 0.1);
  auto found = pairs(X, 3, grid);
  found.values[2] = 1e-18;
  EXPECT_THROW(eigenfunctions(kernel, Z, X, found), InputError);
  found.values[2] = std::nan("");
  EXPECT_THROW(eigenfunctions(kernel, Z, X, found), InputError);
  found = pairs(X, 3, grid);
  found.residuals[1] = 0.6;
  EXPECT_THROW(eigenfunctions(kernel, Z, X, found), InputError);
  const auto without = eigenpairs(gram::assemble<double>(kernel, X, grid, {.nb = kBlock}),
                                  {.top = 3, .vectors = false});
  EXPECT_THROW(eigenfunctions(kernel, Z, X, without), InputError);
  const auto one = test::row_block(world, 1, 2, [](Index, Index) { return 1.0; });
  EXPECT_THROW(gram_of_functions(one, grid, kBlock), InputError);
  const auto gram = gram_of_functions(Z, grid, kBlock);
  const std::vector<Space> few{{0, 1}};
  EXPECT_THROW(check_spaces(gram, few), InputError);
}

}  // namespace
}  // namespace mercer::spectral
