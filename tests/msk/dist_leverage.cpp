#include <gtest/gtest.h>

#include "mercer/blas/blas.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/msk/leverage.hpp"
#include "pairs.hpp"
#include "support/dense_operator.hpp"
#include "support/errors.hpp"
#include "support/grids.hpp"

namespace mercer::msk {
namespace {

using comm::Communicator;
using dist::ProcessGrid;
using test::DenseOperator;

/// l_i for a matrix whose eigenpairs are formulas.
template <class Matrix>
double exact(const Matrix& A, Index n, Index i, double gamma) {
  double sum = 0;
  for (Index m = 0; m < n; ++m) {
    const double v = A.eigenvector(i, m);
    const double lambda = std::max(0.0, A.eigenvalue(m));
    sum += lambda / (lambda + gamma) * v * v;
  }
  return sum;
}

template <class T>
void exact_scores_match_the_formula(double tolerance) {
  const auto world = Communicator::world();
  Index compared = 0;
  for (const auto shape : test::grid_shapes(world.size()))
    for (const Index n : {1, 5, 23, 64})
      for (const Index nb : {4, 16}) {
        const ProcessGrid grid(world, shape);
        auto lambda = test::geometric(n, 2, 0.7);
        lambda.back() = n > 1 ? -1e-18 : lambda.back();  // rounding below 0
        const test::HouseholderMatrix A(lambda);
        const auto pairs = test::householder_pairs<T>(lambda, n, grid, nb);
        const std::vector<double> ridges{1e-6, 0.1, 3};
        const auto result = leverage_scores(pairs, ridges);
        ASSERT_TRUE(result.exact());
        for (std::size_t r = 0; r < ridges.size(); ++r) {
          double sum = 0;
          for (Index i = 0; i < result.scores.local_rows(); ++i) {
            EXPECT_NEAR(result.scores.row(i)[r],
                        exact(A, n, result.scores.first_row() + i, ridges[r]), tolerance);
            sum += result.scores.row(i)[r];
            ++compared;
          }
          sum = world.all_reduce(sum, comm::Op::sum);
          EXPECT_NEAR(sum, result.dimension[r].value, tolerance * static_cast<double>(n));
        }
      }
  EXPECT_GT(world.all_reduce(compared, comm::Op::sum), 0);
}

TEST(LeverageScores, OfAllPairsMatchTheFormula) {
  exact_scores_match_the_formula<double>(1e-13);
}

TEST(LeverageScores, OfAllPairsInSinglePrecisionMatchToItsRounding) {
  exact_scores_match_the_formula<float>(2e-6);
}

TEST(LeverageScores, FromTopPairsLieWithinTheirErrors) {
  // MinMatrix: lambda_i falls as i^-2, so that ridges on both sides of lambda_k matter.
  const auto world = Communicator::world();
  const Index n = 240, k = 12;
  const test::MinMatrix A{n};
  const DenseOperator K(world, n, A);
  const auto pairs = spectral::krylov(K, {.top = k, .tolerance = 1e-12});
  const double largest = A.eigenvalue(k - 1);
  const std::vector<double> ridges{0.003 * largest, 0.1 * largest, largest, 1e3 * largest};
  for (const std::uint64_t seed : {1, 2, 3}) {
    const auto result = leverage_scores(pairs, K, ridges, {.probes = 40, .seed = seed});
    EXPECT_FALSE(result.exact());
    EXPECT_TRUE(result.converged);
    for (std::size_t r = 0; r < ridges.size(); ++r) {
      double dimension = 0, square = 0;
      for (Index i = 0; i < n; ++i) dimension += exact(A, n, i, ridges[r]);
      EXPECT_LE(std::abs(result.dimension[r].value - dimension), 4 * result.dimension[r].error)
          << r << ": " << result.dimension[r].value << " for " << dimension;
      for (Index i = 0; i < result.scores.local_rows(); ++i) {
        const double error = result.errors.row(i)[r];
        const double off =
            result.scores.row(i)[r] - exact(A, n, result.scores.first_row() + i, ridges[r]);
        EXPECT_LE(std::abs(off), 5 * error) << "row " << i << " ridge " << r;
        square += off * off / (error * error);
      }
      square = world.all_reduce(square, comm::Op::sum) / static_cast<double>(n);
      EXPECT_LE(std::sqrt(square), 1.3) << "ridge " << r;  // of standard errors, rms over the rows
      if (r < 2) {  // the sampling decides: errors are no larger than need be
        EXPECT_GE(std::sqrt(square), 0.6);
      }
    }
    EXPECT_LE(result.errors.local_rows() > 0 ? result.errors.row(0)[3] : 0.0, 1e-3);
  }
}

TEST(LeverageScores, FromTopPairsAreTheSameOnEveryNumberOfRanks) {
  const auto world = Communicator::world();
  const auto alone = world.split(world.rank(), 0);
  const Index n = 60, k = 5;
  const test::MinMatrix A{n};
  const std::vector<double> ridges{0.5, 20};
  const auto scores = [&](const Communicator& comm) {
    const DenseOperator K(comm, n, A);
    const auto pairs = spectral::krylov(K, {.top = k});
    return leverage_scores(pairs, K, ridges, {.probes = 8});
  };
  const auto all = scores(world), one = scores(alone);
  for (Index i = 0; i < all.scores.local_rows(); ++i)
    for (std::size_t r = 0; r < ridges.size(); ++r) {
      const Index global = all.scores.first_row() + i;
      EXPECT_NEAR(all.scores.row(i)[r], one.scores.row(global)[r], 1e-7);
      EXPECT_NEAR(all.errors.row(i)[r], one.errors.row(global)[r], 1e-7);
    }
}

TEST(LeverageScores, OfSystemsThatDoNotConvergeSayHowFarTheyAre) {
  const auto world = Communicator::world();
  const Index n = 200;
  const test::MinMatrix A{n};
  const DenseOperator K(world, n, A);
  const auto pairs = spectral::krylov(K, {.top = 2});
  const std::vector<double> ridges{1e-3 * A.eigenvalue(n - 1)};
  const auto result = leverage_scores(pairs, K, ridges, {.probes = 8, .max_iterations = 3});
  EXPECT_FALSE(result.converged);
  EXPECT_EQ(result.steps, 3);
  double dimension = 0;
  for (Index i = 0; i < n; ++i) dimension += exact(A, n, i, ridges[0]);
  EXPECT_LE(std::abs(result.dimension[0].value - dimension), 4 * result.dimension[0].error);
  for (Index i = 0; i < result.scores.local_rows(); ++i)
    EXPECT_LE(
        std::abs(result.scores.row(i)[0] - exact(A, n, result.scores.first_row() + i, ridges[0])),
        5 * result.errors.row(i)[0]);
}

TEST(LeverageScores, RefuseRidgesThatAreNotPositiveAndPairsThatAreNotAll) {
  const ProcessGrid grid(Communicator::world());
  const auto lambda = test::geometric(8, 1, 0.5);
  const auto all = test::householder_pairs<double>(lambda, 8, grid, 4);
  const auto some = test::householder_pairs<double>(lambda, 3, grid, 4);
  const std::vector<double> good{0.1};
  for (const double bad : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    const std::vector<double> ridges{0.1, bad};
    EXPECT_THROW(leverage_scores(all, ridges), InputError);
  }
  EXPECT_THROW(leverage_scores(all, std::span<const double>()), InputError);
  EXPECT_THROW(leverage_scores(some, good), InputError);
}

}  // namespace
}  // namespace mercer::msk
