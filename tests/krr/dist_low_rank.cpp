#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "krr/operators.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"

namespace mercer::krr {
namespace {

using test::Dense;
using test::DenseOperator;
using test::HouseholderMatrix;

/// A Gaussian kernel of points on a line that crowd towards 0.
double crowded(Index i, Index j) {
  const auto at = [](Index k) { return std::pow(static_cast<double>(k), 1.7) / 60; };
  return std::exp(-0.5 * std::pow(at(i) - at(j), 2));
}

struct LowRank : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator alone = world.split(world.rank(), 0);
};

Dense product_of_factor(const comm::Communicator& comm, Index n, const Matrix<double>& F) {
  const Dense all = test::replicated(comm, n, F.view());
  return test::dense(n, n, [&](Index i, Index j) {
    double sum = 0;
    for (Index r = 0; r < all.cols(); ++r) sum += all(i, r) * all(j, r);
    return sum;
  });
}

TEST_F(LowRank, PivotedCholeskyLeavesARestThatVanishesAtThePivots) {
  const Index n = 90;
  const DenseOperator K(world, n, crowded);
  Index compared = 0;
  for (const Index rank : {0, 1, 5, 12}) {
    const CholeskySketch sketch = pivoted_cholesky(K, rank, 11);
    ASSERT_EQ(sketch.F.cols(), rank);
    EXPECT_EQ(std::set<Index>(sketch.pivots.begin(), sketch.pivots.end()).size(),
              static_cast<std::size_t>(rank));
    EXPECT_NEAR(sketch.trace, static_cast<double>(n), 1e-12 * static_cast<double>(n));
    const Dense approximation = product_of_factor(world, n, sketch.F);
    double rest = 0;
    for (Index i = 0; i < n; ++i) {
      const double left = crowded(i, i) - approximation(i, i);
      EXPECT_GE(left, -1e-12);
      rest += left;
    }
    EXPECT_NEAR(sketch.rest, rest, 1e-11);
    for (const Index p : sketch.pivots)
      for (Index i = 0; i < n; ++i, ++compared)
        EXPECT_NEAR(approximation(i, p), crowded(i, p), 1e-7) << i << " " << p;
  }
  EXPECT_EQ(compared, n * (1 + 5 + 12));
}

TEST_F(LowRank, PivotsAreTheSameForEveryNumberOfRanks) {
  const Index n = 200;
  const DenseOperator K(world, n, HouseholderMatrix(test::geometric(n, 1, 0.9)));
  const DenseOperator same(alone, n, HouseholderMatrix(test::geometric(n, 1, 0.9)));
  for (const std::uint64_t seed : {0, 1, 2}) {
    const auto here = pivoted_cholesky(K, 30, seed), there = pivoted_cholesky(same, 30, seed);
    EXPECT_EQ(here.pivots, there.pivots);
    EXPECT_NEAR(here.rest, there.rest, 1e-12);
  }
  EXPECT_NE(pivoted_cholesky(K, 30, 0).pivots, pivoted_cholesky(K, 30, 1).pivots);
}

TEST_F(LowRank, StopsWhereTheRestIsRounding) {
  const Index n = 150;
  std::vector<double> lambda(static_cast<std::size_t>(n), 0.0);
  for (std::size_t i = 0; i < 9; ++i) lambda[i] = std::pow(0.5, static_cast<double>(i));
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  const CholeskySketch sketch = pivoted_cholesky(K, 100, 3);
  EXPECT_EQ(sketch.F.cols(), 9);
  EXPECT_TRUE(std::abs(sketch.rest) <= 1e-10) << sketch.rest;
  // equal points, and a zero matrix
  const DenseOperator same(world, n, [](Index i, Index j) { return i % 4 == j % 4 ? 1.0 : 0.0; });
  EXPECT_EQ(pivoted_cholesky(same, 50, 0).F.cols(), 4);
  const DenseOperator zero(world, n, [](Index, Index) { return 0.0; });
  EXPECT_EQ(pivoted_cholesky(zero, 50, 0).F.cols(), 0);
  const DenseOperator none(world, 0, [](Index, Index) { return 0.0; });
  EXPECT_EQ(pivoted_cholesky(none, 50, 0).F.cols(), 0);
  const DenseOperator one(world, 1, [](Index, Index) { return 2.0; });
  EXPECT_EQ(pivoted_cholesky(one, 50, 0).pivots, std::vector<Index>{0});
  EXPECT_THROW(pivoted_cholesky(one, -1, 0), InputError);
  const DenseOperator hole(world, n,
                           [](Index i, Index j) { return i == j && i == 7 ? test::kNaN : 1.0; });
  EXPECT_THROW(pivoted_cholesky(hole, 5, 0), RunError);
}

/// The expected rest is close to that of the best approximation: arXiv 2207.06503, Theorem 1.1.
TEST_F(LowRank, TheRestIsNearThatOfTheBestApproximation) {
  const Index n = 400, rank = 60;
  const auto lambda = test::geometric(n, 1, 0.9);
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  double best = 0, mean = 0;
  for (std::size_t i = 40; i < lambda.size(); ++i) best += lambda[i];
  for (const std::uint64_t seed : {0, 1, 2}) mean += pivoted_cholesky(K, rank, seed).rest / 3;
  EXPECT_LT(mean, 2 * best) << mean << " " << best;
}

TEST_F(LowRank, ThePreconditionerIsItsFormula) {
  const Index n = 60;
  const auto lambda = test::geometric(n, 1, 0.8);
  const HouseholderMatrix H(lambda);
  const DenseOperator K(world, n, H);
  const auto R = test::own_rows(world, n, 3, crowded);
  const double gamma = 1e-3;
  const auto formula = [&](const LowRankPreconditioner& M) {
    const Dense U = test::replicated(world, n, M.vectors());
    const Dense A = test::dense(n, n, [&](Index i, Index j) {
      double sum = i == j ? 1 / M.rest(gamma) : 0;
      for (Index r = 0; r < M.rank(); ++r)
        sum += U(i, r) * U(j, r) *
               (1 / (M.values()[static_cast<std::size_t>(r)] + gamma) - 1 / M.rest(gamma));
      return sum;
    });
    return test::times(A, test::replicated(world, n, R.view()));
  };
  std::vector<LowRankPreconditioner> all(1);
  all.push_back(LowRankPreconditioner::from_pairs(test::householder_top(world, lambda, 12)));
  all.push_back(LowRankPreconditioner::pivoted_cholesky(K, 25, 4));
  EXPECT_EQ(all[0].text(), "none");
  EXPECT_EQ(all[1].text(), "eigenpairs, 12");
  EXPECT_EQ(all[2].text(), "pivoted Cholesky, 25");
  EXPECT_NEAR(all[1].rest(gamma), gamma + lambda[12], 1e-15);
  EXPECT_NEAR(all[1].captured(), (1 - std::pow(0.8, 12)) / (1 - std::pow(0.8, 60)), 1e-12);
  EXPECT_GT(all[2].captured(), 0.9);
  for (const auto& M : all) {
    Matrix<double> Z(R.rows(), 3, test::kNaN);
    M.apply(world, gamma, R.view(), Z.view());
    const double off = test::relative_difference(test::replicated(world, n, Z.view()), formula(M));
    EXPECT_TRUE(off <= 1e-13) << M.text() << " " << off;
    const Dense U = test::replicated(world, n, M.vectors());
    for (Index a = 0; a < M.rank(); ++a)
      for (Index b = 0; b < M.rank(); ++b) {
        double dot = 0;
        for (Index i = 0; i < n; ++i) dot += U(i, a) * U(i, b);
        EXPECT_NEAR(dot, a == b ? 1 : 0, 1e-12);
      }
  }
  // all of the spectrum: the inverse
  const auto whole = LowRankPreconditioner::pivoted_cholesky(K, n, 4);
  Matrix<double> Z(R.rows(), 3, test::kNaN);
  whole.apply(world, gamma, R.view(), Z.view());
  const Dense expected = test::solved(test::plus_ridge(test::dense(n, n, H), gamma),
                                      test::replicated(world, n, R.view()));
  const double off = test::relative_difference(test::replicated(world, n, Z.view()), expected);
  EXPECT_TRUE(off <= 1e-6) << off;
}

TEST_F(LowRank, ARestrictedPreconditionerFitsTheRestrictedMatrix) {
  const Index n = 50;
  const DenseOperator K(world, n, crowded);
  const auto kept = [](Index i) { return i % 5 != 2; };
  std::vector<char> keep;
  for (Index i = 0; i < K.local_rows(); ++i) keep.push_back(kept(K.first_row() + i));
  const auto M = LowRankPreconditioner::pivoted_cholesky(K, n, 0).restricted(world, keep);
  const Dense U = test::replicated(world, n, M.vectors());
  double worst = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) {
      double sum = 0;
      for (Index r = 0; r < M.rank(); ++r)
        sum += U(i, r) * U(j, r) * M.values()[static_cast<std::size_t>(r)];
      worst = std::max(worst, std::abs(sum - (kept(i) && kept(j) ? crowded(i, j) : 0)));
    }
  EXPECT_TRUE(worst <= 1e-9) << worst;
}

TEST_F(LowRank, TheModifiedOperatorIsItsMatrix) {
  const Index n = 45;
  const auto lambda = test::geometric(n, 1, 0.8);
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  Index compared = 0;
  for (const Index k : {0, 1, 9, 45}) {
    const auto top = test::householder_top(world, lambda, k);
    auto g = lambda, ratio = std::vector<double>(lambda.size(), 1.0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i) {
      g[i] = std::sqrt(lambda[i]) + 0.1;
      ratio[i] = g[i] / lambda[i];
    }
    msk::ModifiedSpectrum spectrum;
    spectrum.lambda = top.values;
    spectrum.g.assign(g.begin(), g.begin() + k);
    const msk::Preconditioner<double> S(top, spectrum);
    const ModifiedOperator K_g(K, S);
    const HouseholderMatrix expected(g), expected_S(ratio);
    EXPECT_TRUE(test::difference(test::dense_of(K_g), test::dense(n, n, expected)) <= 1e-13);

    std::vector<double> d(static_cast<std::size_t>(K_g.local_rows()), test::kNaN);
    K_g.diagonal(d);
    for (std::size_t i = 0; i < d.size(); ++i) {
      const Index at = K_g.first_row() + static_cast<Index>(i);
      EXPECT_NEAR(d[i], expected(at, at), 1e-13);
    }
    const std::vector<Index> which{44, 3, 17};
    Matrix<double> columns(K_g.local_rows(), 3, test::kNaN);
    K_g.columns(which, columns.view());
    for (Index j = 0; j < 3; ++j)
      for (Index i = 0; i < columns.rows(); ++i, ++compared)
        EXPECT_NEAR(columns(i, j),
                    expected(K_g.first_row() + i, which[static_cast<std::size_t>(j)]), 1e-13);
    Matrix<double> R = test::own_rows(world, n, 2, crowded);
    const Dense SR =
        test::times(test::dense(n, n, expected_S), test::replicated(world, n, R.view()));
    S.apply_columns(world, R.view());
    EXPECT_TRUE(test::relative_difference(test::replicated(world, n, R.view()), SR) <= 1e-13);
  }
  EXPECT_EQ(world.all_reduce(compared, comm::Op::sum), 4 * 3 * n);
  msk::ModifiedSpectrum wrong;
  EXPECT_THROW(msk::Preconditioner<double>(test::householder_top(world, lambda, 3), wrong),
               InputError);
}

}  // namespace
}  // namespace mercer::krr
