#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/krr/fit.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::krr {
namespace {

using test::Dense;
using test::HouseholderMatrix;
using Positivity = msk::SpectrumMap::Positivity;

constexpr Index kBlock = 4;

double target(Index i, Index o) {
  return std::sin(static_cast<double>((2 * o + 1) * i) * 0.37 + 0.5) + 0.2 * static_cast<double>(o);
}

template <class T>
msk::ModifiedSpectrum mapped(const char* g, const spectral::Eigenpairs<T>& pairs) {
  return msk::SpectrumMap::parse(g).apply(pairs.values, pairs.next, pairs.k() == pairs.n(),
                                          Positivity::nonnegative, msk::kModeTolerance<T>);
}

template <class T>
DistMatrix<T> filled(const std::vector<double>& lambda, const dist::ProcessGrid& grid) {
  const auto n = static_cast<Index>(lambda.size());
  DistMatrix<T> K(grid, n, n, kBlock);
  K.fill(HouseholderMatrix(lambda));
  return K;
}

Dense dense_kernel(const std::vector<double>& lambda) {
  const auto n = static_cast<Index>(lambda.size());
  return test::dense(n, n, HouseholderMatrix(lambda));
}

std::vector<double> with(std::vector<double> lambda, const std::vector<double>& g) {
  std::copy(g.begin(), g.end(), lambda.begin());
  return lambda;
}

template <class T>
struct FitTest : testing::Test {
  static constexpr double eps = std::numeric_limits<T>::epsilon();
  comm::Communicator world = comm::Communicator::world();

  /// body(grid, n, c) for every grid, sizes around the block's, and one and three outputs.
  template <class Body>
  void for_all_cases(Body&& body) {
    for (const auto shape : test::grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      for (const Index n : {Index{1}, kBlock, 3 * kBlock + 1, 7 * kBlock - 2})
        for (const Index c : {1, 3}) {
          SCOPED_TRACE(fmt::format("grid {}x{} n {} c {}", shape.rows, shape.cols, n, c));
          body(grid, n, c);
        }
    }
  }
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(FitTest, Precisions);

TYPED_TEST(FitTest, CholeskySolvesTheSystemAndItsResidualEstimateIsRight) {
  using T = TypeParam;
  this->for_all_cases([&](const auto& grid, Index n, Index c) {
    const auto lambda = test::geometric(n, 1, 0.8);
    const double ridge = 0.01;
    const auto Y = test::row_block(this->world, n, c, target);
    const Fit fit = fit_cholesky(filled<T>(lambda, grid), Y, ridge);
    const Dense A = test::plus_ridge(dense_kernel(lambda), ridge);
    const Dense y = test::dense(n, c, target), alpha = test::replicated(fit.alpha);
    const double error = test::relative_difference(alpha, test::solved(A, y));
    EXPECT_TRUE(error <= 3000 * this->eps) << error;
    EXPECT_EQ(fit.ridge, ridge);

    double residual = 0, norm = 0;
    const Dense Aa = test::times(A, alpha);
    for (Index o = 0; o < c; ++o)
      for (Index i = 0; i < n; ++i) {
        residual += std::pow(Aa(i, o) - y(i, o), 2);
        norm += y(i, o) * y(i, o);
      }
    residual = std::sqrt(residual / norm);
    EXPECT_FALSE(fit.residual_exact);
    EXPECT_TRUE(fit.residual <= 200 * this->eps) << fit.residual;
    EXPECT_TRUE(fit.residual + this->eps >= residual / 10) << fit.residual << " " << residual;
  });
}

TYPED_TEST(FitTest, ThePathAgreesWithCholeskyForKAndForKg) {
  using T = TypeParam;
  const char* maps[] = {"identity", "flat", "sqrt(l*lk)", "2*l"};
  Index cases = 0;
  this->for_all_cases([&](const auto& grid, Index n, Index c) {
    const auto lambda = test::geometric(n, 1, 0.8);
    const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
    const auto spectrum = mapped(maps[cases++ % 4], pairs);
    const auto Y = test::row_block(this->world, n, c, target);
    const SpectralPath<T> path(pairs, spectrum, Y);
    const std::vector<double> ridges{0.3, 0.01, 3};
    const auto fits = path.fit(ridges);
    const auto scores = path.leave_one_out(ridges);
    const auto gcv = path.gcv(ridges);
    ASSERT_EQ(fits.size(), 3u);
    for (std::size_t r = 0; r < 3; ++r) {
      EXPECT_EQ(fits[r].ridge, ridges[r]);
      EXPECT_TRUE(fits[r].residual_exact);
      EXPECT_TRUE(fits[r].residual <= 500 * this->eps) << fits[r].residual;
      EXPECT_NEAR(fits[r].loo_rmse, scores[r], 100 * this->eps * scores[r]);
      EXPECT_EQ(fits[r].gcv, gcv[r]);
      const Fit other = fit_modified(filled<T>(lambda, grid), pairs, spectrum, Y, ridges[r]);
      const double error =
          test::relative_difference(test::replicated(fits[r].alpha), test::replicated(other.alpha));
      EXPECT_TRUE(error <= (std::is_same_v<T, double> ? 1e-10 : 2e-3)) << error;
    }
  });
}

TYPED_TEST(FitTest, InductiveMskEqualsThePreconditionedLoss) {
  using T = TypeParam;
  const char* maps[] = {"flat", "sqrt(l*lk)", "inverse", "2*l"};
  Index cases = 0;
  this->for_all_cases([&](const auto& grid, Index n, Index c) {
    const auto lambda = test::geometric(n, 1, 0.8);
    for (const Index k : {(n + 1) / 2, n}) {
      const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
      const auto spectrum = mapped(maps[cases++ % 4], pairs);
      const auto Y = test::row_block(this->world, n, c, target);
      const Fit msk = fit_modified(filled<T>(lambda, grid), pairs, spectrum, Y, 0.05);
      const Fit loss = fit_preconditioned_loss(filled<T>(lambda, grid), pairs, spectrum, Y, 0.05);
      const double error =
          test::relative_difference(test::replicated(msk.alpha), test::replicated(loss.alpha));
      EXPECT_TRUE(error <= (std::is_same_v<T, double> ? 1e-10 : 2e-3)) << error;

      // alpha = S (K_g + gamma I)^-1 Y by plain elimination
      const std::vector<double> ones(lambda.size(), 1.0);
      const Dense S = dense_kernel(with(ones, spectrum.ratio()));
      const Dense Kg = test::plus_ridge(dense_kernel(with(lambda, spectrum.g)), 0.05);
      const Dense expected = test::times(S, test::solved(Kg, test::dense(n, c, target)));
      const double off = test::relative_difference(test::replicated(msk.alpha), expected);
      EXPECT_TRUE(off <= 5e4 * this->eps) << off;
    }
  });
}

TEST(Fit, ForAVanishingRidgeTheInductiveCoefficientsDoNotDependOnG) {
  const auto world = comm::Communicator::world();
  const Index n = 30, c = 2;
  const dist::ProcessGrid grid(world);
  const auto lambda = test::geometric(n, 1, 0.9);
  const auto Y = test::row_block(world, n, c, target);
  const Dense expected = test::solved(dense_kernel(lambda), test::dense(n, c, target));
  for (const char* g : {"identity", "flat", "flat:0.1", "inverse", "sqrt(l*lk)", "l^2/l1"})
    for (const Index k : {Index{7}, n}) {
      const auto pairs = test::householder_pairs<double>(lambda, k, grid, kBlock);
      const Fit fit = fit_modified(filled<double>(lambda, grid), pairs, mapped(g, pairs), Y, 1e-14);
      const double error = test::relative_difference(test::replicated(fit.alpha), expected);
      EXPECT_TRUE(error <= 1e-10) << g << " " << k << " " << error;
    }
}

/// Left-out errors by solving without each row: (M alpha = Y without row and column i), predictions
/// K alpha; M = K + gamma S^-1, S that of all rows. n x c, the rows shared among the ranks.
Dense left_out(const comm::Communicator& world, const Dense& K, const Dense& M, Index c) {
  const Index n = K.rows();
  Dense errors = test::dense(n, c, [](Index, Index) { return 0.0; });
  for (Index i = world.rank(); i < n; i += world.size()) {
    auto rest = test::range(0, n);
    rest.erase(rest.begin() + i);
    const Dense Y = test::part(test::dense(n, c, target), rest, test::range(0, c));
    const Dense alpha = test::solved(test::part(M, rest, rest), Y);
    const Dense f = test::times(test::part(K, {i}, rest), alpha);
    for (Index o = 0; o < c; ++o) errors(i, o) = target(i, o) - f(0, o);
  }
  world.all_reduce(std::span<double>(errors.data(), static_cast<std::size_t>(errors.size())),
                   comm::Op::sum);
  return errors;
}

double rmse(const Dense& errors, Index first, Index last) {
  double sum = 0;
  for (Index o = first; o < last; ++o)
    for (Index i = 0; i < errors.rows(); ++i) sum += errors(i, o) * errors(i, o);
  return std::sqrt(sum / static_cast<double>(errors.rows() * (last - first)));
}

TYPED_TEST(FitTest, LeaveOneOutIsWhatSolvingWithoutEachRowGives) {
  using T = TypeParam;
  const Index n = 40, c = 3;
  const auto lambda = test::geometric(n, 1, 0.9);
  const std::vector<double> ridges{0.5, 0.01};
  Index compared = 0;
  for (const char* g : {"identity", "sqrt(l*lk)", "flat:0.5", "inverse"}) {
    std::vector<Dense> expected;
    for (const auto shape : test::grid_shapes(this->world.size())) {
      SCOPED_TRACE(fmt::format("{} grid {}x{}", g, shape.rows, shape.cols));
      const dist::ProcessGrid grid(this->world, shape);
      const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
      auto spectrum = mapped(g, pairs);
      for (std::size_t i = n / 2; i < n; ++i) spectrum.g[i] = spectrum.lambda[i];  // k = n/2
      if (expected.empty())
        for (double ridge : ridges) {
          auto m = spectrum.ratio();
          for (std::size_t i = 0; i < m.size(); ++i) m[i] = lambda[i] + ridge / m[i];
          expected.push_back(left_out(this->world, dense_kernel(lambda), dense_kernel(m), c));
        }
      const auto Y = test::row_block(this->world, n, c, target);
      const SpectralPath<T> path(pairs, spectrum, Y);
      const auto scores = path.leave_one_out(ridges);
      const auto fits = path.fit(ridges);
      ASSERT_EQ(scores.size(), expected.size());
      for (std::size_t r = 0; r < scores.size(); ++r, ++compared) {
        const double all = rmse(expected[r], 0, c), allowed = 2e4 * this->eps;
        EXPECT_NEAR(scores[r], all, allowed * all);
        EXPECT_NEAR(fits[r].loo_rmse, all, allowed * all);
        EXPECT_EQ(fits[r].loo_exact, std::string(g) == "identity");
        const double off = test::relative_difference(
            test::replicated(path.leave_one_out_errors(ridges[r])), expected[r]);
        EXPECT_TRUE(off <= allowed) << off;
        ASSERT_EQ(fits[r].loo_rmse_by_output.size(), static_cast<std::size_t>(c));
        for (Index o = 0; o < c; ++o)
          EXPECT_NEAR(fits[r].loo_rmse_by_output[static_cast<std::size_t>(o)],
                      rmse(expected[r], o, o + 1), allowed * all);
      }
    }
  }
  EXPECT_GE(compared, 8);
}

TEST(Fit, LeaveOneOutAgreesWithRefittingOn200Rows) {
  const auto world = comm::Communicator::world();
  const Index n = 200;
  const dist::ProcessGrid grid(world);
  const auto lambda = test::geometric(n, 1, 0.97);
  const auto pairs = test::householder_pairs<double>(lambda, n, grid, 16);
  const auto Y = test::row_block(world, n, 1, target);
  const std::vector<double> ridges{0.01};
  const auto scores =
      SpectralPath<double>(pairs, mapped("identity", pairs), Y).leave_one_out(ridges);
  const Dense K = dense_kernel(lambda);
  EXPECT_NEAR(scores[0], rmse(left_out(world, K, test::plus_ridge(K, 0.01), 1), 0, 1), 1e-10);
}

TEST(Fit, ARowThatGMakesNothingOfIsLeftOutWithoutADivisionByZero) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const Index n = 9;
  DistMatrix<double> K(grid, n, n, kBlock);
  K.fill([](Index i, Index j) { return i == j ? 1.0 / static_cast<double>(i + 1) : 0; });
  const auto pairs = spectral::eigenpairs(std::move(K));
  auto spectrum = mapped("identity", pairs);
  spectrum.g[2] = 0;  // v_3 is row 3 alone: alpha_3 = P_33 = 0
  const auto Y = test::row_block(world, n, 1, target);
  const SpectralPath<double> path(pairs, spectrum, Y);
  const Dense errors = test::replicated(path.leave_one_out_errors(0.1));
  // K is diagonal: the left-out prediction of every row is 0.
  const double off = test::difference(errors, test::dense(n, 1, target));
  EXPECT_TRUE(off <= 1e-13) << off;
}

TYPED_TEST(FitTest, GcvIsItsDenseFormula) {
  using T = TypeParam;
  this->for_all_cases([&](const auto& grid, Index n, Index c) {
    const auto lambda = test::geometric(n, 1, 0.9);
    const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
    const auto spectrum = mapped("sqrt(l*lk)", pairs);
    const auto Y = test::row_block(this->world, n, c, target);
    const double ridge = 0.1;
    const auto scores = SpectralPath<T>(pairs, spectrum, Y).gcv(std::span<const double>(&ridge, 1));
    ASSERT_EQ(scores.size(), 1u);

    // I - H = gamma (K_g + gamma I)^-1
    const Dense inverse =
        test::solved(test::plus_ridge(dense_kernel(spectrum.g), ridge),
                     test::dense(n, n, [](Index i, Index j) { return i == j ? 1.0 : 0.0; }));
    const Dense R = test::times(inverse, test::dense(n, c, target));
    double norm = 0, trace = 0;
    for (Index i = 0; i < n; ++i) {
      trace += ridge * inverse(i, i);
      for (Index o = 0; o < c; ++o) norm += std::pow(ridge * R(i, o), 2);
    }
    const double expected =
        static_cast<double>(n) * norm / (trace * trace) / static_cast<double>(c);
    EXPECT_NEAR(scores[0], expected, 2e3 * this->eps * expected);

    const auto fit = SpectralPath<T>(pairs, spectrum, Y).fit(std::span<const double>(&ridge, 1));
    ASSERT_EQ(fit[0].gcv_by_output.size(), static_cast<std::size_t>(c));
    for (Index o = 0; o < c; ++o) {
      double own = 0;
      for (Index i = 0; i < n; ++i) own += std::pow(ridge * R(i, o), 2);
      EXPECT_NEAR(fit[0].gcv_by_output[static_cast<std::size_t>(o)],
                  static_cast<double>(n) * own / (trace * trace),
                  2e3 * this->eps * expected * static_cast<double>(c));
    }
  });
}

TYPED_TEST(FitTest, TheSelectedRidgeHasTheLeastScoreAndIsTheSameOnEveryGrid) {
  using T = TypeParam;
  const Index n = 40, c = 2;
  const auto lambda = test::geometric(n, 1, 0.8);
  // A signal in the first modes and noise: the best ridge is inside the search grid.
  const HouseholderMatrix A(lambda);
  const auto noisy = [&](Index i, Index o) {
    return A.eigenvector(i, o) + 0.3 * A.eigenvector(i, 3) +
           0.05 * Random(7, Stream::test).normal(static_cast<std::uint64_t>(i * c + o));
  };
  for (const auto score : {SpectralPath<T>::Score::leave_one_out, SpectralPath<T>::Score::gcv}) {
    double first = 0;
    for (const auto shape : test::grid_shapes(this->world.size())) {
      const dist::ProcessGrid grid(this->world, shape);
      const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
      const auto Y = test::row_block(this->world, n, c, noisy);
      const SpectralPath<T> path(pairs, mapped("identity", pairs), Y);
      const double selected = path.select(score).ridge;
      if (first == 0) first = selected;
      EXPECT_NEAR(selected, first, (std::is_same_v<T, double> ? 1e-9 : 0.05) * first);

      std::vector<double> scan{selected};
      for (int s = 0; s <= 400; ++s)
        scan.push_back(pairs.trace / n * std::pow(10.0, -10 + 11 * s / 400.0));
      const auto scores =
          score == SpectralPath<T>::Score::gcv ? path.gcv(scan) : path.leave_one_out(scan);
      const double least = *std::min_element(scores.begin(), scores.end());
      EXPECT_TRUE(std::isfinite(scores[0]) && scores[0] <= least * (1 + 1e-5))
          << scores[0] << " " << least;
      EXPECT_GT(selected, 1e-9 * pairs.trace / n);
      EXPECT_LT(selected, 9 * pairs.trace / n);
    }
  }
}

TYPED_TEST(FitTest, TiesGoToTheLargerRidgeAndNoFiniteScoreIsAnError) {
  using T = TypeParam;
  const Index n = 12;
  const dist::ProcessGrid grid(this->world);
  const auto zero = test::row_block(this->world, n, 1, [](Index, Index) { return 0.0; });
  const auto broken = test::row_block(this->world, n, 1, [](Index, Index) { return test::kNaN; });
  const auto lambda = test::geometric(n, 1, 0.8);
  const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
  const auto spectrum = mapped("identity", pairs);
  for (const auto score : {SpectralPath<T>::Score::leave_one_out, SpectralPath<T>::Score::gcv}) {
    const double largest = ridge_grid(pairs.trace / n).back();
    EXPECT_NEAR(SpectralPath<T>(pairs, spectrum, zero).select(score).ridge, largest,
                2e-3 * largest);
    EXPECT_THROW(SpectralPath<T>(pairs, spectrum, broken).select(score), RunError);
  }
}

TEST(Fit, RoundingOfTheEigenpairsDoesNotChooseAmongTies) {
  using Path = SpectralPath<double>;
  const auto world = comm::Communicator::world();
  const Index n = 40, rank = 28;
  const double eps = std::numeric_limits<double>::epsilon();
  auto lambda = test::geometric(n, 1, 0.7);
  std::fill(lambda.begin() + rank, lambda.end(), 0.0);
  const HouseholderMatrix A(lambda);
  // As much signal in the least modes as in the first and little noise: GCV falls towards small
  // ridges and ends in a plateau.
  const auto signal = [&](Index i, Index) {
    double y = 1e-3 * Random(7, Stream::test).normal(static_cast<std::uint64_t>(i));
    for (Index m = 0; m < rank; ++m) y += A.eigenvector(i, m);
    return y;
  };
  for (const auto score : {Path::Score::leave_one_out, Path::Score::gcv}) {
    const bool gcv = score == Path::Score::gcv;
    double first = 0, largest = 0;
    std::vector<double> exact;
    Index flips = 0, compared = 0;
    for (const auto shape : test::grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      const auto Y = test::row_block(world, n, 1, signal);
      for (std::uint64_t seed = 0; seed < 8; ++seed) {
        auto pairs = test::householder_pairs<double>(lambda, n, grid, kBlock);
        for (std::size_t i = 0; seed > 0 && i < pairs.values.size(); ++i)
          pairs.values[i] += eps * (2 * Random(seed, Stream::test).uniform(i) - 1);
        const Path path(pairs, mapped("identity", pairs), Y);
        const auto chosen = path.select(score);
        const auto ridges = ridge_grid(pairs.trace / n);
        const auto scores = gcv ? path.gcv(ridges) : path.leave_one_out(ridges);
        const auto errors = path.rounding(score, ridges);
        if (first == 0) first = chosen.ridge, exact = scores;
        EXPECT_NEAR(chosen.ridge, first, 1e-12 * first) << "seed " << seed;
        if (gcv) {
          EXPECT_EQ(chosen.edge, Path::Edge::smallest);
          EXPECT_GT(chosen.ridge, 3 * chosen.smallest);
        }
        flips += std::ranges::min_element(scores) - scores.begin() !=
                 std::ranges::min_element(exact) - exact.begin();
        for (std::size_t r = 0; r < ridges.size(); ++r, ++compared) {
          const double noise = std::abs(scores[r] / exact[r] - 1) / errors[r];
          EXPECT_LE(noise, 1.0) << ridges[r];
          largest = std::max(largest, noise);
        }
      }
    }
    EXPECT_GE(compared, 8 * 41);
    EXPECT_GT(largest, 0.01);
    EXPECT_TRUE(!gcv || flips > 0);  // the least score alone would have chosen differently
  }
}

TEST(Fit, TheSelectionSaysWhenItIsAtAnEdge) {
  using Edge = SpectralPath<double>::Edge;
  const auto world = comm::Communicator::world();
  const Index n = 40;
  const dist::ProcessGrid grid(world);
  const auto edge = [&](double decay, Index outputs, auto&& f) {
    const auto lambda = test::geometric(n, 1, decay);
    const HouseholderMatrix A(lambda);
    const auto pairs = test::householder_pairs<double>(lambda, n, grid, kBlock);
    const auto Y = test::row_block(world, n, outputs, [&](Index i, Index o) { return f(A, i, o); });
    return SpectralPath<double>(pairs, mapped("identity", pairs), Y)
        .select(SpectralPath<double>::Score::leave_one_out)
        .edge;
  };
  const auto noisy = [](const HouseholderMatrix& A, Index i, Index o) {
    return A.eigenvector(i, o) + 0.3 * A.eigenvector(i, 3) +
           0.05 * Random(7, Stream::test).normal(static_cast<std::uint64_t>(2 * i + o));
  };
  const auto mode = [](Index m) {
    return [m](const HouseholderMatrix& A, Index i, Index) { return A.eigenvector(i, m); };
  };
  EXPECT_EQ(edge(0.8, 2, noisy), Edge::none);
  EXPECT_EQ(edge(0.9, 1, mode(n - 1)), Edge::largest);  // a mode that K makes least of
  EXPECT_EQ(edge(0.9, 1, mode(0)), Edge::smallest);
}

TYPED_TEST(FitTest, ASingularMatrixIsRefusedWithARidgeThatDoes) {
  using T = TypeParam;
  const Index n = 3 * kBlock + 1;
  const std::regex pattern(
      ".*smallest eigenvalue of K.* is (?:about )?(\\S+); a ridge of (\\S+) would do.*");
  auto singular = test::geometric(n, 1, 0.5);
  std::fill(singular.begin() + 6, singular.end(), 0.0);
  auto negative = test::geometric(n, 1, 0.5);
  negative.back() = -0.1;
  for (const auto shape : test::grid_shapes(this->world.size())) {
    const dist::ProcessGrid grid(this->world, shape);
    for (const auto& [eigenvalues, ridge] :
         {std::pair{singular, 0.0}, {negative, 0.0}, {negative, 0.05}}) {
      const auto& lambda = eigenvalues;
      SCOPED_TRACE(fmt::format("grid {}x{} ridge {}", shape.rows, shape.cols, ridge));
      const auto Y = test::row_block(this->world, n, 2, target);
      const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
      const SpectralPath<T> path(pairs, mapped("identity", pairs), Y);
      const auto by_path = [&](double gamma) { path.fit(std::span<const double>(&gamma, 1)); };
      const auto by_cholesky = [&](double gamma) {
        fit_cholesky(filled<T>(lambda, grid), Y, gamma);
      };
      for (int way = 0; way < 2; ++way) {
        const auto fit = [&](double gamma) { way == 0 ? by_cholesky(gamma) : by_path(gamma); };
        std::string what = "nothing was thrown";
        try {
          fit(ridge);
        } catch (const RunError& error) {
          what = error.what();
        }
        std::smatch found;
        ASSERT_TRUE(std::regex_match(what, found, pattern)) << what;
        EXPECT_NEAR(std::stod(found[1]), lambda.back(), way == 0 ? 0.011 : 0.001) << what;
        EXPECT_NO_THROW(fit(std::stod(found[2]))) << what;
        EXPECT_LT(std::stod(found[2]), lambda.back() < 0 ? 2 : 1e-4) << what;
      }
    }
  }
}

TYPED_TEST(FitTest, ANaNInKOrInTheTargetsIsAnErrorForEveryRidge) {
  using T = TypeParam;
  const Index n = 3 * kBlock + 1;
  const auto lambda = test::geometric(n, 1, 0.8);
  const HouseholderMatrix A(lambda);
  for (const auto shape : test::grid_shapes(this->world.size())) {
    const dist::ProcessGrid grid(this->world, shape);
    const auto Y = test::row_block(this->world, n, 2, target);
    for (const double ridge : {0.0, 1e-3, 10.0})
      for (const auto& [row, col] : {std::pair<Index, Index>{n - 1, n - 1}, {0, 0}, {7, 2}}) {
        SCOPED_TRACE(
            fmt::format("grid {}x{} ridge {} at {}, {}", shape.rows, shape.cols, ridge, row, col));
        DistMatrix<T> K(grid, n, n, kBlock);
        K.fill([&, row = row, col = col](Index i, Index j) {
          return std::max(i, j) == row && std::min(i, j) == col ? test::kNaN : A(i, j);
        });
        EXPECT_THROW(fit_cholesky(std::move(K), Y, ridge), RunError);
      }
    const auto broken = test::row_block(
        this->world, n, 2, [](Index i, Index o) { return i == 5 ? test::kNaN : target(i, o); });
    EXPECT_THROW(fit_cholesky(filled<T>(lambda, grid), broken, 0.1), RunError);
  }
}

TYPED_TEST(FitTest, BadRidgesAndShapesAreInputErrors) {
  using T = TypeParam;
  const Index n = 9;
  const dist::ProcessGrid grid(this->world);
  const auto lambda = test::geometric(n, 1, 0.8);
  const auto Y = test::row_block(this->world, n, 1, target);
  const auto shorter = test::row_block(this->world, n - 1, 1, target);
  for (const double ridge : {-1.0, test::kNaN, std::numeric_limits<double>::infinity()})
    EXPECT_THROW(fit_cholesky(filled<T>(lambda, grid), Y, ridge), InputError);
  EXPECT_THROW(fit_cholesky(filled<T>(lambda, grid), shorter, 1), InputError);
  const auto some = test::householder_pairs<T>(lambda, n - 1, grid, kBlock);
  EXPECT_THROW(SpectralPath<T>(some, mapped("flat", some), Y), InputError);
  const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
  EXPECT_THROW(SpectralPath<T>(pairs, mapped("flat", pairs), shorter), InputError);
  const std::vector<double> ridges{1, -1};
  EXPECT_THROW(SpectralPath<T>(pairs, mapped("flat", pairs), Y).fit(ridges), InputError);
}

}  // namespace
}  // namespace mercer::krr
