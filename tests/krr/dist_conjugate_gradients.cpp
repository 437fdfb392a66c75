#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gram/operators.hpp"
#include "krr/operators.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"

namespace mercer::krr {
namespace {

using test::Dense;
using test::DenseOperator;
using test::HouseholderMatrix;

double target(Index i, Index o) {
  return std::sin(static_cast<double>((2 * o + 1) * i) * 0.37 + 0.5) + 0.2 * static_cast<double>(o);
}

struct ConjugateGradients : testing::Test {
  comm::Communicator world = comm::Communicator::world();

  Matrix<double> targets(Index n, Index c) const { return test::own_rows(world, n, c, target); }
  /// Largest relative difference of X from the solution by elimination, and the true residuals.
  static double error(const gram::Operator& K, double ridge, const Matrix<double>& X,
                      const Matrix<double>& B) {
    const Dense A = test::plus_ridge(test::dense_of(K), ridge);
    const Dense expected = test::solved(A, test::replicated(K.comm(), K.size(), B.view()));
    return test::relative_difference(test::replicated(K.comm(), K.size(), X.view()), expected);
  }
};

/// |b - (K + gamma I) x|/|b| of column j in long double (absolute where b = 0), and how far one
/// that is formed in double may be from it. With u = 2^-53, a sum of n products in any order and
/// two more terms is off by at most gamma_(n+3) (|b| + (|K| + gamma I)|x|), gamma_m = m u/(1 - m u)
/// (Higham, Accuracy and Stability of Numerical Algorithms, sec. 3.5); the norm of n numbers by
/// gamma_(n+3) of itself.
template <class B>
std::pair<double, double> exact_residual(const Dense& K, double gamma, const Dense& X, B&& b,
                                         Index j) {
  const Index n = K.rows();
  long double square = 0, norm = 0, bound = 0;
  for (Index i = 0; i < n; ++i) {
    long double r = b(i), size = std::abs(b(i));
    for (Index k = 0; k < n; ++k) {
      const long double entry = K(i, k) + (i == k ? static_cast<long double>(gamma) : 0);
      r -= entry * X(k, j);
      size += std::abs(entry * X(k, j));
    }
    square += r * r, bound += size * size;
    norm += static_cast<long double>(b(i)) * b(i);
  }
  const long double scale = norm > 0 ? std::sqrt(norm) : 1, residual = std::sqrt(square) / scale;
  const double mu = static_cast<double>(n + 3) * 0x1p-53;
  return {static_cast<double>(residual),
          mu / (1 - mu) * static_cast<double>(std::sqrt(bound) / scale + residual)};
}

TEST_F(ConjugateGradients, SolvesForEverySizeAndPreconditioner) {
  Index cases = 0;
  for (const Index n : {1, 2, 5, 40})
    for (const Index c : {1, 7}) {
      const auto lambda = test::geometric(n, 1, 0.7);
      const DenseOperator K(world, n, HouseholderMatrix(lambda));
      const Matrix<double> B = targets(n, c);
      const std::vector<LowRankPreconditioner> all = [&] {
        std::vector<LowRankPreconditioner> list(1);
        list.push_back(
            LowRankPreconditioner::from_pairs(test::householder_top(world, lambda, n / 2)));
        list.push_back(LowRankPreconditioner::from_pairs(test::householder_top(world, lambda, n)));
        list.push_back(LowRankPreconditioner::pivoted_cholesky(K, n / 2 + 1, 7));
        return list;
      }();
      for (const LowRankPreconditioner& M : all) {
        SCOPED_TRACE(fmt::format("n {} c {} M {}", n, c, M.text()));
        const CgResult result = conjugate_gradients(K, 1e-3, M, B.view(), {.tolerance = 1e-12});
        EXPECT_TRUE(result.converged) << result.stagnation;
        EXPECT_EQ(result.stagnation, "");
        EXPECT_EQ(static_cast<Index>(result.residuals.size()), c);
        for (double r : result.residuals) EXPECT_TRUE(r <= 1e-12) << r;
        EXPECT_EQ(static_cast<Index>(result.history.size()), result.iterations);
        const double off = error(K, 1e-3, result.X, B);
        EXPECT_TRUE(off <= 1e-9) << off;
        ++cases;
      }
    }
  EXPECT_EQ(cases, 4 * 2 * 4);
}

TEST_F(ConjugateGradients, EmptyProblemsAreSolvedAtOnce) {
  const DenseOperator none(world, 0, [](Index, Index) { return 0.0; });
  EXPECT_TRUE(conjugate_gradients(none, 1, {}, Matrix<double>(0, 3).view()).converged);
  const DenseOperator K(world, 5, HouseholderMatrix(test::geometric(5, 1, 0.5)));
  const CgResult result = conjugate_gradients(K, 1, {}, Matrix<double>(K.local_rows(), 0).view());
  EXPECT_TRUE(result.converged);
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.X.cols(), 0);
}

/// One-hot rows minus their mean: rank classes - 1; then columns that are zero, repeated, huge and
/// tiny multiples, an eigenvector of K (converges in one step) and one that is all but dependent.
TEST_F(ConjugateGradients, DependentColumnsBreakNothing) {
  const Index n = 60, classes = 5;
  const auto lambda = test::geometric(n, 1, 0.8);
  const HouseholderMatrix H(lambda);
  const DenseOperator K(world, n, H);
  const auto column = [&](Index i, Index j) -> double {
    const auto one_hot = [&](Index o) { return (i * i + i / 3) % classes == o ? 0.8 : -0.2; };
    if (j < classes) return one_hot(j);
    if (j == classes) return 0;
    if (j == classes + 1) return one_hot(2);
    if (j == classes + 2) return 1e12 * one_hot(1);
    if (j == classes + 3) return 1e-13 * target(i, 0);
    if (j == classes + 4) return H.eigenvector(i, 3);
    return one_hot(0) + 1e-9 * target(i, 1);
  };
  const Index c = classes + 6;
  const Matrix<double> B = test::own_rows(world, n, c, column);
  for (const auto& M : {LowRankPreconditioner(), LowRankPreconditioner::pivoted_cholesky(K, 20, 1)})
    for (const double tolerance : {1e-4, 1e-8, 1e-13}) {
      SCOPED_TRACE(fmt::format("{} {}", M.text(), tolerance));
      const CgResult result = conjugate_gradients(K, 1e-3, M, B.view(), {.tolerance = tolerance});
      EXPECT_TRUE(result.converged) << result.stagnation;
      const Dense X = test::replicated(world, n, result.X.view());
      for (Index j = 0; j < c; ++j) {
        const auto [r, rounding] = exact_residual(
            test::dense_of(K), 1e-3, X, [&](Index i) { return column(i, j); }, j);
        const double said = result.residuals[static_cast<std::size_t>(j)];
        EXPECT_TRUE(std::abs(r - said) <= rounding) << j << " " << r << " " << said;
        EXPECT_TRUE(r <= tolerance + rounding) << j << " " << r << " " << rounding;
        EXPECT_TRUE(tolerance < 1e-12 || rounding < 0.1 * tolerance) << j << " " << rounding;
      }
    }
}

TEST_F(ConjugateGradients, ColumnsThatAreEigenvectorsTakeOneStep) {
  const Index n = 30;
  const auto lambda = test::geometric(n, 1, 0.8);
  const HouseholderMatrix H(lambda);
  const DenseOperator K(world, n, H);
  const Matrix<double> B = test::own_rows(
      world, n, 4, [&](Index i, Index j) { return H.eigenvector(i, 2 * j) + H.eigenvector(i, 9); });
  // The Krylov space of four vectors in five eigenspaces is exhausted after two blocks.
  const CgResult result = conjugate_gradients(K, 0.01, {}, B.view(), {.tolerance = 1e-12});
  EXPECT_TRUE(result.converged);
  EXPECT_LE(result.iterations, 3);
}

TEST_F(ConjugateGradients, ThePivotedCholeskyPreconditionerSavesMostIterations) {
  const Index n = 300;
  std::vector<double> lambda;
  for (Index i = 0; i < n; ++i) lambda.push_back(std::pow(static_cast<double>(i + 1), -2.0));
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  const Matrix<double> B = targets(n, 2);
  const double ridge = 1e-5;
  const CgOptions options{.tolerance = 1e-8};
  const CgResult plain = conjugate_gradients(K, ridge, {}, B.view(), options);
  const CgResult sketch = conjugate_gradients(
      K, ridge, LowRankPreconditioner::pivoted_cholesky(K, 100, 3), B.view(), options);
  const CgResult pairs = conjugate_gradients(
      K, ridge, LowRankPreconditioner::from_pairs(test::householder_top(world, lambda, 100)),
      B.view(), options);
  EXPECT_TRUE(plain.converged && sketch.converged && pairs.converged);
  EXPECT_LE(3 * sketch.iterations, plain.iterations)
      << sketch.iterations << " " << plain.iterations;
  EXPECT_LE(3 * pairs.iterations, plain.iterations) << pairs.iterations << " " << plain.iterations;
}

TEST_F(ConjugateGradients, GivesTheSameAnswerOnOneRankAsOnAll) {
  const Index n = 50, c = 3;
  const auto lambda = test::geometric(n, 1, 0.8);
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  const auto solve = [&](const gram::Operator& A) {
    const Matrix<double> B = test::own_rows(A.comm(), n, c, target);
    const CgResult result = conjugate_gradients(
        A, 1e-4, LowRankPreconditioner::pivoted_cholesky(A, 10, 5), B.view(), {.tolerance = 1e-11});
    EXPECT_TRUE(result.converged);
    return test::replicated(A.comm(), n, result.X.view());
  };
  const comm::Communicator alone = world.split(world.rank(), 0);
  const DenseOperator same(alone, n, HouseholderMatrix(lambda));
  const double off = test::relative_difference(solve(K), solve(same));
  EXPECT_TRUE(off <= 1e-9) << off;
  // and the same bits again
  EXPECT_EQ(test::difference(solve(K), solve(K)), 0);
}

TEST_F(ConjugateGradients, StopsAtACheckpointAndGoesOnToTheSameBits) {
  const Index n = 80, c = 4;
  const DenseOperator K(world, n, HouseholderMatrix(test::geometric(n, 1, 0.85)));
  const Matrix<double> B = targets(n, c);
  const LowRankPreconditioner M = LowRankPreconditioner::pivoted_cholesky(K, 5, 5);
  CgOptions options{.tolerance = 1e-11};
  const CgResult whole = conjugate_gradients(K, 1e-5, M, B.view(), options);
  ASSERT_TRUE(whole.converged);
  ASSERT_GT(whole.iterations, 12);
  for (const Index at : {Index{1}, Index{7}, whole.iterations - 1}) {
    CgState state;
    CgOptions first = options;
    first.checkpoint = [&](const CgState& s) {
      if (s.iterations < at) return false;
      state = s.copy();
      return true;
    };
    const CgResult part = conjugate_gradients(K, 1e-5, M, B.view(), first);
    EXPECT_FALSE(part.finished);
    EXPECT_FALSE(part.converged);
    EXPECT_EQ(part.iterations, at);
    CgOptions second = options;
    second.resume = &state;
    const CgResult rest = conjugate_gradients(K, 1e-5, M, B.view(), second);
    EXPECT_TRUE(rest.finished && rest.converged);
    EXPECT_EQ(rest.iterations, whole.iterations);
    EXPECT_EQ(rest.history, whole.history);
    EXPECT_EQ(test::difference(test::replicated(world, n, rest.X.view()),
                               test::replicated(world, n, whole.X.view())),
              0);
  }
}

TEST_F(ConjugateGradients, AGoodFirstGuessSavesIterations) {
  const Index n = 60, c = 2;
  const DenseOperator K(world, n, HouseholderMatrix(test::geometric(n, 1, 0.8)));
  const Matrix<double> B = targets(n, c);
  const CgResult cold = conjugate_gradients(K, 1e-4, {}, B.view(), {.tolerance = 1e-10});
  CgOptions options{.tolerance = 1e-10};
  options.start = cold.X.view();
  EXPECT_EQ(conjugate_gradients(K, 1e-4, {}, B.view(), options).iterations, 0);
  const CgResult near = conjugate_gradients(K, 1.02e-4, {}, B.view(), options);
  EXPECT_TRUE(near.converged);
  EXPECT_LT(near.iterations, cold.iterations);
  EXPECT_TRUE(error(K, 1.02e-4, near.X, B) <= 1e-6);
}

/// 10^0 ... 10^-decades.
std::vector<double> over_decades(Index n, double decades) {
  std::vector<double> lambda;
  for (Index i = 0; i < n; ++i)
    lambda.push_back(std::pow(10.0, -decades * static_cast<double>(i) / static_cast<double>(n)));
  return lambda;
}

/// From a first guess of size 1e7 the recurrence keeps an error of 1e-9, which only residuals that
/// are measured again take away.
TEST_F(ConjugateGradients, DriftingResidualsAreReplacedByMeasuredOnes) {
  const Index n = 40;
  const DenseOperator K(world, n, HouseholderMatrix(over_decades(n, 2)));
  const Matrix<double> B = targets(n, 2);
  const Matrix<double> far =
      test::own_rows(world, n, 2, [](Index i, Index o) { return 1e7 * target(3 * i + 1, o); });
  CgOptions options{.tolerance = 1e-13};
  options.start = far.view();
  const CgResult result = conjugate_gradients(K, 0.01, {}, B.view(), options);
  EXPECT_TRUE(result.converged) << result.stagnation;
  EXPECT_GE(result.replacements, 1);
  EXPECT_TRUE(result.residuals[0] <= 1e-13 && result.residuals[1] <= 1e-13);
  EXPECT_TRUE(error(K, 0.01, result.X, B) <= 1e-11);
}

TEST_F(ConjugateGradients, StagnationSaysWhatToChange) {
  const Index n = 40;
  const DenseOperator K(world, n, HouseholderMatrix(over_decades(n, 6)));
  const Matrix<double> B = targets(n, 2);
  // rounding
  const CgResult fine = conjugate_gradients(
      K, 1e-8, {}, B.view(), {.tolerance = 1e-16, .max_iterations = 5000, .patience = 100});
  EXPECT_FALSE(fine.converged);
  EXPECT_TRUE(fine.finished);
  EXPECT_LT(fine.iterations, 2000);
  EXPECT_NE(fine.stagnation.find("larger ridge"), std::string::npos) << fine.stagnation;
  EXPECT_LT(fine.residuals[0], 1e-8);
  // the limit of iterations
  const CgResult short_of = conjugate_gradients(K, 1e-4, {}, B.view(), {.max_iterations = 25});
  EXPECT_FALSE(short_of.converged);
  EXPECT_EQ(short_of.iterations, 25);
  EXPECT_NE(short_of.stagnation.find("after 25 iterations"), std::string::npos);
  EXPECT_NE(short_of.stagnation.find("larger rank (now: none)"), std::string::npos)
      << short_of.stagnation;
  // no progress: residuals of plain conjugate gradients rise first
  const CgResult stuck = conjugate_gradients(K, 1e-8, {}, B.view(), {.patience = 3});
  EXPECT_FALSE(stuck.converged);
  EXPECT_NE(stuck.stagnation.find("no progress in the last 3"), std::string::npos)
      << stuck.stagnation;
}

TEST_F(ConjugateGradients, AnIndefiniteMatrixIsRefusedWithARidgeThatWouldDo) {
  const Index n = 50;
  auto lambda = test::geometric(n, 1, 0.8);
  lambda.back() = -0.02;
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  const Matrix<double> B = targets(n, 3);
  for (const auto& M : {LowRankPreconditioner(), LowRankPreconditioner::pivoted_cholesky(K, 10, 1)})
    for (const double ridge : {0.0, 1e-3, 0.015}) {
      try {
        conjugate_gradients(K, ridge, M, B.view());
        ADD_FAILURE() << "not refused at " << ridge;
      } catch (const RunError& e) {
        const std::string text = e.what();
        const std::string before = "a ridge of ";
        const auto at = text.find(before);
        ASSERT_NE(at, std::string::npos) << text;
        const double enough = std::stod(text.substr(at + before.size()));
        EXPECT_GT(enough, 0.02);
        EXPECT_LT(enough, 0.2);
        EXPECT_TRUE(conjugate_gradients(K, enough, M, B.view()).converged);
      }
    }
  const DenseOperator zero(world, n, [](Index, Index) { return 0.0; });
  EXPECT_THROW(conjugate_gradients(zero, 0, {}, B.view()), RunError);
  EXPECT_TRUE(conjugate_gradients(zero, 1, {}, B.view()).converged);
}

TEST_F(ConjugateGradients, BadArgumentsAndNumbersAreErrors) {
  const Index n = 9;
  const DenseOperator K(world, n, HouseholderMatrix(test::geometric(n, 1, 0.8)));
  const Matrix<double> B = targets(n, 2);
  for (const double ridge : {-1.0, test::kNaN, std::numeric_limits<double>::infinity()})
    EXPECT_THROW(conjugate_gradients(K, ridge, {}, B.view()), InputError);
  for (const double tolerance : {0.0, -1.0, test::kNaN})
    EXPECT_THROW(conjugate_gradients(K, 1, {}, B.view(), {.tolerance = tolerance}), InputError);
  const Matrix<double> other = targets(n + world.size(), 2);
  EXPECT_THROW(conjugate_gradients(K, 1, {}, other.view()), InputError);
  CgOptions options;
  options.start = other.view();
  EXPECT_THROW(conjugate_gradients(K, 1, {}, B.view(), options), InputError);
  const Matrix<double> broken = test::own_rows(
      world, n, 2, [](Index i, Index o) { return i == 5 ? test::kNaN : target(i, o); });
  EXPECT_THROW(conjugate_gradients(K, 1, {}, broken.view()), InputError);
  const DenseOperator hole(world, n, [](Index i, Index j) {
    return i == 3 && j == 4 ? test::kNaN : (i == j ? 1.0 : 0.0);
  });
  EXPECT_THROW(conjugate_gradients(hole, 1, {}, B.view()), RunError);
  const auto Y = test::row_block(world, n - 1, 1, target);
  EXPECT_THROW(fit_by_cg(K, {}, Y, 1), InputError);
}

TEST_F(ConjugateGradients, FitsAsCholeskyDoes) {
  const Index n = 40, c = 3;
  const auto lambda = test::geometric(n, 1, 0.8);
  const dist::ProcessGrid grid(world);
  const auto Y = test::row_block(world, n, c, target);
  const DenseOperator K(world, n, HouseholderMatrix(lambda));
  DistMatrix<double> stored(grid, n, n, 4);
  stored.fill(HouseholderMatrix(lambda));
  const Fit expected = fit_cholesky(std::move(stored), Y, 0.01);
  const CgFit fit = fit_by_cg(K, LowRankPreconditioner::pivoted_cholesky(K, 10, 0), Y, 0.01,
                              {.tolerance = 1e-12});
  EXPECT_EQ(fit.fit.ridge, 0.01);
  EXPECT_TRUE(fit.fit.residual_exact);
  EXPECT_TRUE(fit.fit.residual <= 1e-12);
  const double off =
      test::relative_difference(test::replicated(fit.fit.alpha), test::replicated(expected.alpha));
  EXPECT_TRUE(off <= 1e-9) << off;
}

TEST_F(ConjugateGradients, FitsModifiedSpectraAsTheDirectSolversDo) {
  const Index n = 40, c = 2;
  const auto lambda = test::geometric(n, 1, 0.8);
  const auto Y = test::row_block(world, n, c, target);
  const dist::ProcessGrid grid(world);
  for (const char* g : {"flat", "sqrt(l*lk)", "inverse", "identity"})
    for (const Index k : {7, 40}) {
      SCOPED_TRACE(fmt::format("{} {}", g, k));
      const auto pairs = test::householder_pairs<double>(lambda, k, grid, 4);
      const auto spectrum = msk::SpectrumMap::parse(g).apply(
          pairs.values, pairs.next, k == n, msk::SpectrumMap::Positivity::positive);
      const auto top = test::householder_top(world, lambda, k);
      const DenseOperator K(world, n, HouseholderMatrix(lambda));
      const msk::Preconditioner<double> S(top, spectrum);
      const ModifiedOperator K_g(K, S);
      const auto M = LowRankPreconditioner::from_pairs(top, spectrum.g);
      const CgFit fit = fit_modified_by_cg(K_g, M, Y, 0.05, {.tolerance = 1e-12});
      EXPECT_TRUE(fit.solution.converged) << fit.solution.stagnation;
      DistMatrix<double> first(grid, n, n, 4), second(grid, n, n, 4);
      first.fill(HouseholderMatrix(lambda));
      second.fill(HouseholderMatrix(lambda));
      const Fit modified = fit_modified(std::move(first), pairs, spectrum, Y, 0.05);
      const Fit loss = fit_preconditioned_loss(std::move(second), pairs, spectrum, Y, 0.05);
      const Dense alpha = test::replicated(fit.fit.alpha);
      const double off = test::relative_difference(alpha, test::replicated(modified.alpha));
      EXPECT_TRUE(off <= 1e-9) << off;
      const double other = test::relative_difference(alpha, test::replicated(loss.alpha));
      EXPECT_TRUE(other <= 1e-9) << other;
    }
}

/// Kernels that are applied, and pairs that block Krylov found, from end to end.
TEST_F(ConjugateGradients, FitsWithKernelsInEveryPrecisionAndWithKrylovsPairs) {
  const Index n = 90, c = 3;
  const auto X = test::inputs(world, n);
  const auto Y = test::row_block(world, n, c, target);
  const dist::ProcessGrid grid(world);
  const Dense exact = test::dense(*test::gaussian(), n);
  const double ridge = 1e-3 / static_cast<double>(n);
  const Dense expected = test::solved(test::plus_ridge(exact, ridge), test::dense(n, c, target));
  for (const auto storage :
       {gram::Storage::in_double, gram::Storage::in_single, gram::Storage::none}) {
    SCOPED_TRACE(gram::name(storage));
    const gram::KernelOperator K(*test::gaussian(), X, grid, {.storage = storage, .tile = 16});
    spectral::KrylovOptions options{.top = 10};
    const auto pairs = spectral::krylov(K, options);
    const auto by_pairs = LowRankPreconditioner::from_pairs(pairs);
    const auto sketch = LowRankPreconditioner::pivoted_cholesky(K, 30, 1);
    const bool exactly = storage != gram::Storage::in_single;
    for (const auto* M : {&by_pairs, &sketch}) {
      const CgFit fit = fit_by_cg(K, *M, Y, ridge, {.tolerance = 1e-11});
      EXPECT_TRUE(fit.solution.converged) << fit.solution.stagnation;
      const double off = test::relative_difference(test::replicated(fit.fit.alpha), expected);
      EXPECT_TRUE(off <= (exactly ? 1e-8 : 1e-3)) << off;
    }
    const auto spectrum =
        msk::SpectrumMap::parse("sqrt(l*lk)")
            .apply(pairs.values, pairs.next, false, msk::SpectrumMap::Positivity::positive);
    const msk::Preconditioner<double> S(pairs, spectrum);
    const ModifiedOperator K_g(K, S);
    const CgFit msk = fit_modified_by_cg(K_g, LowRankPreconditioner::from_pairs(pairs, spectrum.g),
                                         Y, ridge, {.tolerance = 1e-11});
    DistMatrix<double> first(grid, n, n, 16), second(grid, n, n, 16);
    first.fill([&](Index i, Index j) { return exact(i, j); });
    second.fill([&](Index i, Index j) { return exact(i, j); });
    const auto direct = spectral::eigenpairs(std::move(first), {.top = 10});
    const auto mapped =
        msk::SpectrumMap::parse("sqrt(l*lk)")
            .apply(direct.values, direct.next, false, msk::SpectrumMap::Positivity::positive);
    const Fit other = fit_modified(std::move(second), direct, mapped, Y, ridge);
    const double off =
        test::relative_difference(test::replicated(msk.fit.alpha), test::replicated(other.alpha));
    EXPECT_TRUE(off <= (exactly ? 1e-6 : 1e-3)) << off;
  }
}

}  // namespace
}  // namespace mercer::krr
