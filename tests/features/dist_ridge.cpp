#include <gtest/gtest.h>

#include "mercer/blas/blas.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/features/features.hpp"
#include "mercer/features/leave_one_out.hpp"
#include "mercer/features/ridge.hpp"
#include "support/errors.hpp"
#include "support/grids.hpp"

namespace mercer::features {
namespace {

using blas::Trans;
using comm::Communicator;
using dist::ProcessGrid;

constexpr Index kRows = 40, kInputs = 3, kColumns = 24, kOutputs = 2;

double input(Index i, Index k) {
  return std::sin(static_cast<double>(7 * i + 3 * k + i * k + 1));
}
double target(Index i, Index o) {
  return std::cos(static_cast<double>(2 * i + 5 * o));
}

/// n^(-1/2) Psi and Y of all rows, on every rank.
struct Whole {
  Matrix<double> psi{kColumns, kRows}, y{kOutputs, kRows};
};
Whole whole() {
  const Features<double> features(
      {.family = Family::arccos, .dimension = kInputs, .count = kColumns, .seed = 4});
  Matrix<double> X(kInputs, kRows);
  for (Index i = 0; i < kRows; ++i)
    for (Index k = 0; k < kInputs; ++k) X(k, i) = input(i, k);
  Whole all;
  features.evaluate(std::as_const(X).view(), all.psi.view());
  for (Index i = 0; i < kRows; ++i)
    for (Index o = 0; o < kOutputs; ++o) all.y(o, i) = target(i, o);
  return all;
}

NormalEquations system_of(const Whole& all, const ProcessGrid& grid, Index nb) {
  Accumulator<double> sums(grid, kColumns, kOutputs, nb);
  const dist::RowPartition rows{kRows, grid.all().size()};
  const Index first = rows.begin(grid.all().rank()), count = rows.size(grid.all().rank());
  sums.add(all.psi.view().block(0, first, kColumns, count),
           all.y.view().block(0, first, kOutputs, count));
  return std::move(sums).finish();
}

/// The path of ridges of all rows, with what it borrows.
struct Path {
  NormalEquations system;
  spectral::Eigenpairs<double> pairs;
  msk::ModifiedSpectrum spectrum;
  FeaturePath path;
  Path(const Whole& all, const ProcessGrid& grid, const char* g)
      : system(system_of(all, grid, 4)),
        pairs(eigenpairs(system)),
        spectrum(msk::SpectrumMap::parse(g).apply(pairs.values, pairs.next, true,
                                                  msk::SpectrumMap::Positivity::nonnegative)),
        path(pairs, spectrum, system) {}
};

/// H of the rows, n x n: Psi (Psi^T Psi + gamma I)^-1 Psi^T with g on Psi Psi^T, by LAPACK.
struct Smoother {
  Matrix<double> V{kRows, kRows};
  std::vector<double> lambda;  ///< ascending
  explicit Smoother(const Whole& all) {
    blas::gemm<double>(Trans::yes, Trans::no, 1.0 / kRows, all.psi.view(), all.psi.view(), 0,
                       V.view());
    lambda = blas::syevd(V.view());
  }
  /// The fit of output o with share(lambda) of each eigenvector's part.
  std::vector<double> fitted(Index o, const std::function<double(double)>& share) const {
    std::vector<double> F(static_cast<std::size_t>(kRows), 0.0);
    for (Index j = 0; j < kRows; ++j) {
      double part = 0;
      for (Index i = 0; i < kRows; ++i) part += V(i, j) * target(i, o);
      part *= share(lambda[static_cast<std::size_t>(j)]);
      for (Index i = 0; i < kRows; ++i) F[static_cast<std::size_t>(i)] += V(i, j) * part;
    }
    return F;
  }
};

/// beta^T psi of every row is the smoother's fit.
void expect_fit(const Whole& all, const FeatureFit& fit,
                const std::function<double(double)>& share) {
  const Smoother smoother(all);
  for (Index o = 0; o < kOutputs; ++o) {
    const auto F = smoother.fitted(o, share);
    for (Index i = 0; i < kRows; ++i) {
      double f = 0;
      for (Index a = 0; a < kColumns; ++a) f += fit.beta(a, o) * all.psi(a, i);
      EXPECT_NEAR(f, F[static_cast<std::size_t>(i)], 1e-9);
    }
  }
}

TEST(FeatureRidge, ByCholeskyAndByPairsIsTheSmootherOfPsi) {
  const auto world = Communicator::world();
  const auto all = whole();
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const double ridge : {1e-4, 0.1}) {
      const auto share = [&](double l) { return std::max(0.0, l) / (std::max(0.0, l) + ridge); };
      const auto direct = fit_cholesky(system_of(all, grid, 4), ridge);
      EXPECT_LE(direct.residual, 1e-11);
      expect_fit(all, direct, share);
      const Path plain(all, grid, "identity");
      const auto fits = plain.path.fit(std::vector<double>{ridge});
      expect_fit(all, fits[0], share);
      // The score and the trace by their definitions.
      const Smoother smoother(all);
      double free = 0, score = 0;
      for (const double l : smoother.lambda) free += share(l);
      EXPECT_NEAR(fits[0].freedom, free, 1e-10);
      for (Index o = 0; o < kOutputs; ++o) {
        const auto F = smoother.fitted(o, share);
        double square = 0;
        for (Index i = 0; i < kRows; ++i)
          square += std::pow(target(i, o) - F[static_cast<std::size_t>(i)], 2);
        const double of_output = kRows * square / std::pow(kRows - free, 2);
        EXPECT_NEAR(fits[0].gcv_by_output[static_cast<std::size_t>(o)], of_output, 1e-10);
        score += of_output / kOutputs;
      }
      EXPECT_NEAR(fits[0].gcv, score, 1e-10);
    }
  }
}

TEST(FeatureRidge, WithAModifiedSpectrumIsTheSmootherOfG) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const auto all = whole();
  const Path modified(all, grid, "sqrt(l*lk)");
  const auto& spectrum = modified.spectrum;
  const double ridge = 0.01;
  const auto fits = modified.path.fit(std::vector<double>{ridge});
  const double cut = spectrum.tolerance * spectrum.lambda.front();
  expect_fit(all, fits[0], [&](double l) {
    const double g = l > cut ? std::sqrt(l * spectrum.next) : std::max(0.0, l);
    return g / (g + ridge);
  });
}

/// The error of output o in row i by fitting the others, with the ridge gamma n/(n - 1).
double refitted(const Whole& all, Index left_out, Index o, double ridge) {
  constexpr Index m = kRows - 1;
  Matrix<double> psi(kColumns, m), A(kColumns, kColumns, 0.0), b(1, kColumns, 0.0);
  for (Index i = 0, to = 0; i < kRows; ++i) {
    if (i == left_out) continue;
    for (Index a = 0; a < kColumns; ++a) {
      psi(a, to) = all.psi(a, i);
      b(0, a) += all.psi(a, i) * all.y(o, i) / m;
    }
    ++to;
  }
  blas::gemm<double>(Trans::no, Trans::yes, 1.0 / m, psi.view(), psi.view(), 0, A.view());
  for (Index a = 0; a < kColumns; ++a) A(a, a) += ridge * kRows / m;
  EXPECT_TRUE(blas::cholesky(A.view()));
  blas::solve_right<double>(A.view(), b.view());  // b R^-1, then (R^-1)^T of it
  Matrix<double> x(kColumns, 1);
  for (Index a = kColumns; a-- > 0;) {
    double sum = b(0, a);
    for (Index k = a + 1; k < kColumns; ++k) sum -= A(a, k) * x(k, 0);
    x(a, 0) = sum / A(a, a);
  }
  double f = 0;
  for (Index a = 0; a < kColumns; ++a) f += x(a, 0) * all.psi(a, left_out);
  return all.y(o, left_out) - f;
}

template <class T>
void leave_one_out_is_refitting(double tolerance) {
  const auto world = Communicator::world();
  const auto all = whole();
  const std::vector<double> ridges{1e-3, 0.1};
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    const Path plain(all, grid, "identity");
    LeaveOneOut<T> errors(plain.path, ridges);
    for (Index first = 0; first < kRows; first += 15) {  // panels, the last shorter
      const Index width = std::min<Index>(15, kRows - first);
      const dist::RowPartition rows{width, world.size()};
      const Index begin = first + rows.begin(world.rank()), count = rows.size(world.rank());
      Matrix<T> psi(kColumns, count);
      for (Index j = 0; j < count; ++j)
        for (Index a = 0; a < kColumns; ++a) psi(a, j) = static_cast<T>(all.psi(a, begin + j));
      errors.add(std::as_const(psi).view(), all.y.view().block(0, begin, kOutputs, count));
    }
    const auto rmse = errors.rmse_by_output();
    for (std::size_t r = 0; r < ridges.size(); ++r)
      for (Index o = 0; o < kOutputs; ++o) {
        double square = 0;
        for (Index i = 0; i < kRows; ++i) square += std::pow(refitted(all, i, o, ridges[r]), 2);
        EXPECT_NEAR(rmse[r][static_cast<std::size_t>(o)], std::sqrt(square / kRows), tolerance);
      }
  }
}

TEST(FeatureRidge, LeavesOneOutAsRefittingDoes) {
  leave_one_out_is_refitting<double>(1e-10);
}

TEST(FeatureRidge, LeavesOneOutInSinglePrecisionToItsRounding) {
  leave_one_out_is_refitting<float>(1e-4);
}

TEST(FeatureRidge, LeavesOneOutOfAModifiedKernelByItsFormula) {
  // P = (Psi Psi^T + gamma S^-1)^-1 as a matrix.
  const ProcessGrid grid(Communicator::world());
  const auto all = whole();
  const Path modified(all, grid, "sqrt(l*lk)");
  const auto& spectrum = modified.spectrum;
  const std::vector<double> ridges{0.02};
  LeaveOneOut<double> errors(modified.path, ridges);
  const dist::RowPartition rows{kRows, grid.all().size()};
  const Index begin = rows.begin(grid.all().rank()), count = rows.size(grid.all().rank());
  errors.add(all.psi.view().block(0, begin, kColumns, count),
             all.y.view().block(0, begin, kOutputs, count));
  const Smoother smoother(all);
  const double cut = spectrum.tolerance * spectrum.lambda.front(), gamma = ridges[0];
  const auto g = [&](double l) { return l > cut ? std::sqrt(l * spectrum.next) : 0.0; };
  const auto p = [&](double l) { return l > cut ? g(l) / l / (g(l) + gamma) : 1 / gamma; };
  for (Index o = 0; o < kOutputs; ++o) {
    const auto F = smoother.fitted(o, [&](double l) { return g(l) / (g(l) + gamma); });
    const auto alpha = smoother.fitted(o, p);
    double square = 0;
    for (Index i = 0; i < kRows; ++i) {
      double H = 0, P = 0;
      for (Index j = 0; j < kRows; ++j) {
        const double l = smoother.lambda[static_cast<std::size_t>(j)], v = smoother.V(i, j);
        H += g(l) / (g(l) + gamma) * v * v;
        P += p(l) * v * v;
      }
      const auto at = static_cast<std::size_t>(i);
      square += std::pow(target(i, o) - F[at] + H * alpha[at] / P, 2);
    }
    EXPECT_NEAR(errors.rmse_by_output()[0][static_cast<std::size_t>(o)], std::sqrt(square / kRows),
                1e-9);
  }
}

TEST(FeatureRidge, RefusesRidgesThatAreNotPositive) {
  const ProcessGrid grid(Communicator::world());
  const auto all = whole();
  for (const double ridge : {0.0, -1.0, std::nan("")})
    test::expect_words(test::input_error([&] { fit_cholesky(system_of(all, grid, 4), ridge); }),
                       {"`ridge`"});
}

}  // namespace
}  // namespace mercer::features
