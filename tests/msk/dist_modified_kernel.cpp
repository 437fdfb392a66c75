#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/modified_kernel.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::msk {
namespace {

using dist::DistMatrix;
using test::HouseholderMatrix;
using Positivity = SpectrumMap::Positivity;

constexpr Index kBlock = 4;
constexpr const char* kMaps[] = {"flat",    "flat:0.5", "sqrt(l*lk)",
                                 "inverse", "2*l",      "i == 1 ? l : lk"};

template <class T>
struct GridPreconditionerTest : testing::Test {
  static constexpr double tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;
  comm::Communicator world = comm::Communicator::world();
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(GridPreconditionerTest, Precisions);

/// The spectrum with g in place of its first k eigenvalues.
std::vector<double> with(std::vector<double> lambda, const std::vector<double>& g) {
  std::copy(g.begin(), g.end(), lambda.begin());
  return lambda;
}

/// Runs body(grid, lambda, k) for every grid, awkward n, and k = 1, n/2, n.
template <class Body>
void for_all_cases(const comm::Communicator& world, Body&& body) {
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Index n : test::awkward_sizes(kBlock)) {
      const auto lambda = test::geometric(n, 1.5, 0.9);
      for (const Index k : {std::min<Index>(n, 1), (n + 1) / 2, n}) {
        SCOPED_TRACE(fmt::format("grid {}x{} n {} k {}", shape.rows, shape.cols, n, k));
        body(grid, lambda, k);
      }
    }
  }
}

template <class T>
ModifiedSpectrum mapped(const char* g, const spectral::Eigenpairs<T>& pairs) {
  return SpectrumMap::parse(g).apply(pairs.values, pairs.next, pairs.k() == pairs.n(),
                                     Positivity::nonnegative);
}

template <class T>
DistMatrix<T> filled(const HouseholderMatrix& A, Index n, const dist::ProcessGrid& grid) {
  DistMatrix<T> K(grid, n, n, kBlock);
  K.fill(A);
  return K;
}

TYPED_TEST(GridPreconditionerTest, SKAndTheModifiedKernelHaveKsVectorsAndTheSpectrumGThenLambda) {
  using T = TypeParam;
  Index cases = 0;
  for_all_cases(this->world, [&](const auto& grid, const auto& lambda, Index k) {
    const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
    const auto n = pairs.n();
    const auto spectrum = mapped(kMaps[cases++ % 6], pairs);
    const HouseholderMatrix expected(with(lambda, spectrum.g));
    auto SK = filled<T>(HouseholderMatrix(lambda), n, grid);
    GridPreconditioner<T>(pairs, spectrum).apply(SK);
    test::expect_equal(SK, expected, this->tolerance);
    auto K = filled<T>(HouseholderMatrix(lambda), n, grid);
    modify(K, pairs, spectrum);
    test::expect_equal(K, expected, this->tolerance);
  });
  EXPECT_GE(cases, 24);
}

TYPED_TEST(GridPreconditionerTest, TheEigenvaluesOfTheModifiedKernelAreGOfTheFirstKAndTheRest) {
  using T = TypeParam;
  const Index n = 40, k = 15;
  const dist::ProcessGrid grid(this->world);
  const auto lambda = test::geometric(n, 1.5, 0.9);
  const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
  const auto spectrum = mapped("sqrt(l*lk)", pairs);
  auto K = filled<T>(HouseholderMatrix(lambda), n, grid);
  modify(K, pairs, spectrum);
  auto expected = with(lambda, spectrum.g);
  std::sort(expected.begin(), expected.end());
  const auto found = la::eigenvalues(std::move(K));
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], expected[i], this->tolerance);
}

TYPED_TEST(GridPreconditionerTest, TheModifiedKernelIsSymmetricToTheBit) {
  using T = TypeParam;
  const Index n = 27, k = 20;
  const dist::ProcessGrid grid(this->world);
  const auto pairs = test::householder_pairs<T>(test::geometric(n, 1.5, 0.9), k, grid, kBlock);
  auto K = filled<T>(HouseholderMatrix(test::geometric(n, 1.5, 0.9)), n, grid);
  modify(K, pairs, mapped("i < 5 ? lk : 2*l", pairs));
  DistMatrix<T> transposed(grid, n, n, kBlock), identity(grid, n, n, kBlock);
  identity.fill([](Index i, Index j) { return i == j; });
  test::poison(transposed);
  la::gemm(blas::Trans::yes, blas::Trans::no, T{1}, K, identity, T{0}, transposed);
  Index compared = 0;
  for (Index j = 0; j < K.local_cols(); ++j)
    for (Index i = 0; i < K.local_rows(); ++i, ++compared)
      EXPECT_EQ(K.local()(i, j), transposed.local()(i, j));
  EXPECT_EQ(this->world.all_reduce(compared, comm::Op::sum), n * n);
}

TYPED_TEST(GridPreconditionerTest, InverseUndoesApplyForNarrowAndWideOperands) {
  using T = TypeParam;
  Index cases = 0;
  for_all_cases(this->world, [&](const auto& grid, const auto& lambda, Index k) {
    const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
    const GridPreconditioner<T> S(pairs, mapped(kMaps[cases++ % 6], pairs));
    const auto f = [](Index i, Index j) {
      return std::sin(static_cast<double>(3 * i + 7 * j + 1));
    };
    for (const Index m : {1, 3, 9}) {
      DistMatrix<T> R(grid, pairs.n(), m, kBlock);
      R.fill(f);
      S.apply(R);
      S.apply_inverse(R);
      test::expect_equal(R, f, 10 * this->tolerance);
    }
  });
}

TYPED_TEST(GridPreconditionerTest, FromTheRightIsTheProductWithTheDenseForm) {
  using T = TypeParam;
  Index cases = 0;
  for_all_cases(this->world, [&](const auto& grid, const auto& lambda, Index k) {
    const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
    const GridPreconditioner<T> S(pairs, mapped(kMaps[cases++ % 6], pairs));
    const auto dense = S.dense();
    for (const Index m : {1, 3, 9}) {
      DistMatrix<T> R(grid, m, pairs.n(), kBlock), expected(grid, m, pairs.n(), kBlock);
      R.fill([](Index i, Index j) { return std::sin(static_cast<double>(3 * i + 7 * j + 1)); });
      la::gemm(blas::Trans::no, blas::Trans::no, T{1}, R, dense, T{0}, expected);
      S.apply_right(R);
      for (Index j = 0; j < R.local_cols(); ++j)
        for (Index i = 0; i < R.local_rows(); ++i)
          EXPECT_NEAR(R.local()(i, j), expected.local()(i, j), 10 * this->tolerance);
    }
  });
  EXPECT_GE(cases, 24);
}

TYPED_TEST(GridPreconditionerTest, IsTheIdentityToTheBitWhereGIs) {
  using T = TypeParam;
  for_all_cases(this->world, [&](const auto& grid, const auto& lambda, Index k) {
    const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
    const GridPreconditioner<T> S(pairs, mapped("identity", pairs));
    const auto f = [](Index i, Index j) {
      return static_cast<T>(std::sin(static_cast<double>(3 * i + 7 * j + 1)));
    };
    DistMatrix<T> R(grid, pairs.n(), 3, kBlock);
    R.fill(f);
    S.apply(R);
    S.apply_inverse(R);
    test::expect_equal(R, f, 0);
    test::expect_equal(
        S.dense(), [](Index i, Index j) { return i == j; }, 0);
  });
}

TYPED_TEST(GridPreconditionerTest, TheDenseFormHasTheRatiosAsItsSpectrum) {
  using T = TypeParam;
  Index cases = 0;
  for_all_cases(this->world, [&](const auto& grid, const auto& lambda, Index k) {
    const auto pairs = test::householder_pairs<T>(lambda, k, grid, kBlock);
    const auto spectrum = mapped(kMaps[cases++ % 6], pairs);
    const std::vector<double> ones(lambda.size(), 1.0);
    test::expect_equal(GridPreconditioner<T>(pairs, spectrum).dense(),
                       HouseholderMatrix(with(ones, spectrum.ratio())), 10 * this->tolerance);
  });
}

TYPED_TEST(GridPreconditionerTest, ModesBelowTheToleranceStayAsTheyAre) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const std::vector<double> lambda{2, 1, 0.5, 0.25, 0, 0};
  const auto pairs = test::householder_pairs<T>(lambda, 6, grid, kBlock);
  const auto spectrum = mapped("inverse", pairs);
  EXPECT_EQ(spectrum.left_out, 2);
  auto SK = filled<T>(HouseholderMatrix(lambda), 6, grid);
  const GridPreconditioner<T> S(pairs, spectrum);
  S.apply(SK);
  test::expect_equal(SK, HouseholderMatrix({1, 1, 1, 1, 0, 0}), this->tolerance);
  test::expect_equal(S.dense(), HouseholderMatrix({0.5, 1, 2, 4, 1, 1}), this->tolerance);
}

TYPED_TEST(GridPreconditionerTest, PanelsOfColumnsDoNotShowInTheResult) {
  using T = TypeParam;
  const Index n = 1030;  // two and a bit panels of 512 columns
  const dist::ProcessGrid grid(this->world);
  const auto lambda = test::geometric(n, 1.5, 0.999);
  const auto pairs = test::householder_pairs<T>(lambda, n, grid, kBlock);
  const auto spectrum = mapped("i < 700 ? lk : 2*l", pairs);
  auto K = filled<T>(HouseholderMatrix(lambda), n, grid);
  modify(K, pairs, spectrum);
  test::expect_equal(K, HouseholderMatrix(with(lambda, spectrum.g)), 10 * this->tolerance);
}

TYPED_TEST(GridPreconditionerTest, AZeroOfGHasNoInverseAndASpectrumOfAnotherLengthIsRefused) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto pairs = test::householder_pairs<T>(test::geometric(9, 1, 0.5), 5, grid, kBlock);
  DistMatrix<T> R(grid, 9, 1, kBlock);
  R.fill([](Index, Index) { return 1; });
  EXPECT_THROW(GridPreconditioner<T>(pairs, mapped("flat:0", pairs)).apply_inverse(R), RunError);
  const auto other = test::householder_pairs<T>(test::geometric(9, 1, 0.5), 4, grid, kBlock);
  EXPECT_THROW(GridPreconditioner<T>(pairs, mapped("flat", other)), InputError);
}

}  // namespace
}  // namespace mercer::msk
