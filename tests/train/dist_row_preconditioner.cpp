#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "mercer/train/directions.hpp"
#include "mercer/train/row_preconditioner.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::train {
namespace {

using dist::DistMatrix;
using dist::RowBlock;
using msk::ModifiedSpectrum;
using msk::SpectrumMap;
using test::HouseholderMatrix;

constexpr Index kBlock = 4;
constexpr const char* kMaps[] = {"flat",    "flat:0.5", "sqrt(l*lk)",          "inverse",
                                 "power:2", "2*l",      "i == 1 ? l : lk",     "identity",
                                 "l*lk/l1", "1/(1+l)",  "i < 3 ? lk : 1.5 * l"};

double entry(Index i, Index a) {
  return std::sin(static_cast<double>(3 * i + 7 * a + 1));
}

ModifiedSpectrum mapped(const char* g, const spectral::Eigenpairs<double>& pairs) {
  return SpectrumMap::parse(g).apply(pairs.values, pairs.next, pairs.k() == pairs.n(),
                                     SpectrumMap::Positivity::positive);
}

template <class T>
RowBlock<T> residual(const comm::Communicator& comm, Index n, Index outputs) {
  RowBlock<T> R(comm, n, outputs);
  for (Index j = 0; j < R.local_rows(); ++j)
    for (Index a = 0; a < outputs; ++a)
      R.transposed()(a, j) = static_cast<T>(entry(R.first_row() + j, a));
  return R;
}

template <class T>
RowBlock<T> poisoned(const comm::Communicator& comm, Index n, Index outputs) {
  RowBlock<T> Z(comm, n, outputs);
  std::ranges::fill(Z.values(), static_cast<T>(test::kNaN));
  return Z;
}

/// EXPECT that Z is `expected` within `tolerance` of its largest entry or of the residuals' (about
/// 1), which S subtracts from, over all ranks.
template <class T>
void expect_close(const RowBlock<T>& Z, const RowBlock<double>& expected, double tolerance) {
  ASSERT_EQ(Z.rows(), expected.rows());
  ASSERT_EQ(Z.cols(), expected.cols());
  double scale = 1;
  for (const double x : expected.values()) scale = std::max(scale, std::abs(x));
  scale = expected.comm().all_reduce(scale, comm::Op::max);
  Index compared = 0;
  for (std::size_t i = 0; i < Z.values().size(); ++i, ++compared) {
    const double error = std::abs(static_cast<double>(Z.values()[i]) - expected.values()[i]);
    EXPECT_TRUE(error <= tolerance * scale) << error << " of " << scale << " at " << i;
  }
  EXPECT_EQ(expected.comm().all_reduce(compared, comm::Op::sum), Z.rows() * Z.cols());
}

template <class T>
struct RowPreconditionerTest : testing::Test {
  static constexpr double tolerance = std::is_same_v<T, double> ? 1e-12 : 2e-6;
  comm::Communicator world = comm::Communicator::world();
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(RowPreconditionerTest, Precisions);

/// Runs body(pairs, spectrum, outputs) for every grid, awkward n, k = 0, 1, a few and n, and every
/// map (on the first grid all of them, on the others in turn).
template <class Body>
void for_all_cases(const comm::Communicator& world, Body&& body) {
  Index cases = 0;
  const auto shapes = test::grid_shapes(world.size());
  for (const auto shape : shapes) {
    const dist::ProcessGrid grid(world, shape);
    for (const Index n : {1, 3, 5, 13, 26}) {
      for (const Index k : {Index{0}, Index{1}, std::min<Index>(n, 6), n}) {
        const auto pairs =
            test::householder_pairs<double>(test::geometric(n, 1.5, 0.9), k, grid, kBlock);
        for (const Index outputs : {1, 3}) {
          const char* const one = kMaps[cases % static_cast<Index>(std::size(kMaps))];
          for (const char* g : kMaps) {
            if (shape != shapes[0] && g != one) continue;
            SCOPED_TRACE(fmt::format("grid {}x{} n {} k {} g {} outputs {}", shape.rows, shape.cols,
                                     n, k, g, outputs));
            body(pairs, mapped(g, pairs), outputs);
            ++cases;
          }
        }
      }
    }
  }
  EXPECT_EQ(cases, 440 + 40 * (static_cast<Index>(shapes.size()) - 1));
}

TYPED_TEST(RowPreconditionerTest, IsThePreconditionerOfTheGridForEveryMap) {
  using T = TypeParam;
  for_all_cases(this->world, [&](const auto& pairs, const auto& spectrum, Index outputs) {
    DistMatrix<double> R(pairs.vectors.grid(), pairs.n(), outputs, kBlock);
    R.fill(entry);
    msk::Preconditioner<double>(pairs, spectrum).apply(R);
    RowBlock<double> expected(this->world, pairs.n(), outputs);
    dist::copy(R, expected);
    const auto r = residual<T>(this->world, pairs.n(), outputs);
    auto z = poisoned<T>(this->world, pairs.n(), outputs);
    RowPreconditioner<T>(pairs, spectrum).apply(this->world, r.transposed(), z.transposed());
    expect_close(z, expected, this->tolerance);
  });
}

TYPED_TEST(RowPreconditionerTest, MultipliesByTheInverseOfKWhereKIsNAndGIsOne) {
  using T = TypeParam;
  for (const auto shape : test::grid_shapes(this->world.size()))
    for (const Index n : {1, 7, 26}) {
      const dist::ProcessGrid grid(this->world, shape);
      const auto lambda = test::geometric(n, 1.5, 0.9);
      const auto pairs = test::householder_pairs<double>(lambda, n, grid, kBlock);
      DistMatrix<double> K(grid, n, n, kBlock), R(grid, n, 2, kBlock);
      K.fill(HouseholderMatrix(lambda));
      R.fill(entry);
      la::cholesky(K);
      la::cholesky_solve(K, R);
      RowBlock<double> expected(this->world, n, 2);
      dist::copy(R, expected);
      auto z = residual<T>(this->world, n, 2);
      const RowPreconditioner<T> S(pairs, mapped("inverse", pairs));
      S.apply(this->world, z.transposed(), z.transposed());
      expect_close(z, expected, this->tolerance);
    }
}

TYPED_TEST(RowPreconditionerTest, TheExcessIsWhatSAddsToTheSquaredResidual) {
  using T = TypeParam;
  for_all_cases(this->world, [&](const auto& pairs, const auto& spectrum, Index outputs) {
    const RowPreconditioner<T> S(pairs, spectrum);
    const auto r = residual<T>(this->world, pairs.n(), outputs);
    auto z = poisoned<T>(this->world, pairs.n(), outputs);
    S.reserve(outputs);
    Matrix<double> P(outputs, S.k(), test::kNaN);
    S.project(r.transposed(), P.view());
    this->world.all_reduce(std::span<double>(P.data(), static_cast<std::size_t>(P.size())),
                           comm::Op::sum);
    S.add(r.transposed(), P.view(), z.transposed());
    double rr = 0, rSr = 0;
    for (std::size_t i = 0; i < r.values().size(); ++i) {
      rr += static_cast<double>(r.values()[i]) * static_cast<double>(r.values()[i]);
      rSr += static_cast<double>(r.values()[i]) * static_cast<double>(z.values()[i]);
    }
    rr = this->world.all_reduce(rr, comm::Op::sum);
    rSr = this->world.all_reduce(rSr, comm::Op::sum);
    EXPECT_NEAR(S.excess(P.view()), rSr - rr, 10 * this->tolerance * std::max(rr, rSr));
  });
}

TYPED_TEST(RowPreconditionerTest, IsTheIdentityToTheBitWhereGIsOrNothingIsGiven) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto pairs =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 6, grid, kBlock);
  const auto r = residual<T>(this->world, 13, 3);
  for (const auto& S :
       {RowPreconditioner<T>(), RowPreconditioner<T>(pairs, mapped("identity", pairs))}) {
    EXPECT_TRUE(S.identity());
    auto z = poisoned<T>(this->world, 13, 3);
    S.apply(this->world, r.transposed(), z.transposed());
    EXPECT_TRUE(std::ranges::equal(z.values(), r.values()));
    EXPECT_EQ(S.excess(Matrix<double>(3, 0).view()), 0);
  }
}

TYPED_TEST(RowPreconditionerTest, KeepsTheModesThatChangeInAnyNumberOfPanels) {
  using T = TypeParam;
  const Index n = 1501, k = 1450;  // 16 MiB are 1397 columns on one rank
  const dist::ProcessGrid grid(this->world);
  const auto lambda = test::geometric(n, 1.5, 0.999);
  const HouseholderMatrix K(lambda);
  const auto pairs = test::householder_pairs<double>(lambda, k, grid, kBlock);
  const auto spectrum = mapped("i < 700 || i > 1440 ? lk : (i < 900 ? l : 2 * l)", pairs);
  const RowPreconditioner<T> S(pairs, spectrum);
  const dist::RowPartition rows{n, this->world.size()};
  const Index m = rows.size(this->world.rank()), first = rows.begin(this->world.rank());
  ASSERT_EQ(S.k(), k - 200);
  ASSERT_EQ(S.vectors().cols(), m);
  Index wrong = 0, i = 0;
  for (Index mode = 0; mode < k; ++mode) {
    if (mode >= 699 && mode < 899) continue;
    const auto at = static_cast<std::size_t>(mode);
    EXPECT_EQ(S.coefficients()[static_cast<std::size_t>(i)], spectrum.g[at] / lambda[at] - 1);
    for (Index j = 0; j < m; ++j)
      wrong += S.vectors()(i, j) != static_cast<T>(K.eigenvector(first + j, mode));
    ++i;
  }
  EXPECT_EQ(i, S.k());
  EXPECT_EQ(wrong, 0);
}

TYPED_TEST(RowPreconditionerTest, TheProjectionOfManyRowsIsSummedInDouble) {
  using T = TypeParam;
  const Index m = 1 << 20;
  Matrix<T> V(1, m, T{1}), R(1, m);
  double exact = 0;
  for (Index j = 0; j < m; ++j) {
    R(0, j) = static_cast<T>(1 + 0.1 * entry(j, 0));
    exact += static_cast<double>(R(0, j));
  }
  const RowPreconditioner<T> S(std::move(V), {1.0});
  Matrix<double> P(1, 1, test::kNaN);
  S.project(R.view(), P.view());
  EXPECT_TRUE(std::abs(P(0, 0) - exact) <= (std::is_same_v<T, double> ? 1e-12 : 1e-7) * exact)
      << P(0, 0) << " is not " << exact;
}

TYPED_TEST(RowPreconditionerTest, IsRebuiltToTheBitFromItsVectorsAndCoefficients) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto pairs =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 6, grid, kBlock);
  const RowPreconditioner<T> S(pairs, mapped("flat", pairs));
  const RowPreconditioner<T> copy(S.vectors().copy(), S.coefficients());
  const auto r = residual<T>(this->world, 13, 3);
  auto one = poisoned<T>(this->world, 13, 3), two = poisoned<T>(this->world, 13, 3);
  S.apply(this->world, r.transposed(), one.transposed());
  copy.apply(this->world, r.transposed(), two.transposed());
  EXPECT_TRUE(std::ranges::equal(one.values(), two.values()));
  EXPECT_THROW(RowPreconditioner<T>(S.vectors().copy(), {1.0}), RunError);
  const auto other =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 5, grid, kBlock);
  EXPECT_THROW(RowPreconditioner<T>(pairs, mapped("flat", other)), InputError);
}

TYPED_TEST(RowPreconditionerTest, DirectionsMeasureAResidualAlongChosenEigenvectors) {
  using T = TypeParam;
  for (const auto shape : test::grid_shapes(this->world.size())) {
    const dist::ProcessGrid grid(this->world, shape);
    const Index n = 26, k = 20, outputs = 3;
    const auto lambda = test::geometric(n, 1.5, 0.9);
    const HouseholderMatrix K(lambda);
    const auto pairs = test::householder_pairs<double>(lambda, k, grid, kBlock);
    const std::vector<Index> which{1, 4, 5, 19, 20};
    const auto ratio = mapped("flat", pairs).ratio();
    const Directions<T> directions(pairs, which, ratio), plain(pairs, which, {});
    const auto measured =
        directions.measure(this->world, residual<T>(this->world, n, outputs).transposed());
    ASSERT_EQ(measured.size(), which.size());
    EXPECT_EQ(directions.which(), which);
    for (std::size_t i = 0; i < which.size(); ++i) {
      const auto mode = static_cast<std::size_t>(which[i] - 1);
      double square = 0;
      for (Index a = 0; a < outputs; ++a) {
        double p = 0;
        for (Index j = 0; j < n; ++j) p += K.eigenvector(j, which[i] - 1) * entry(j, a);
        square += p * p;
      }
      EXPECT_NEAR(measured[i], std::sqrt(square), 10 * this->tolerance);
      EXPECT_NEAR(directions.rates()[i], static_cast<double>(n) * lambda[k], 1e-12);
      EXPECT_NEAR(plain.rates()[i], static_cast<double>(n) * lambda[mode], 1e-12);
    }
  }
}

TYPED_TEST(RowPreconditionerTest, DirectionsThatAreNotThereOrDoNotAscendAreRefused) {
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
