#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/modified_kernel.hpp"
#include "mercer/msk/preconditioner.hpp"
#include "msk/pairs.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::msk {
namespace {

using dist::DistMatrix;
using dist::RowBlock;
using test::HouseholderMatrix;

constexpr Index kBlock = 4;
constexpr const char* kMaps[] = {"flat",    "flat:0.5", "sqrt(l*lk)",          "inverse",
                                 "power:2", "2*l",      "i == 1 ? l : lk",     "identity",
                                 "l*lk/l1", "1/(1+l)",  "i < 3 ? lk : 1.5 * l"};

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
struct PreconditionerTest : testing::Test {
  static constexpr double tolerance = std::is_same_v<T, double> ? 1e-12 : 2e-6;
  comm::Communicator world = comm::Communicator::world();
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(PreconditionerTest, Precisions);

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
            body(pairs, test::mapped(g, pairs), outputs);
            ++cases;
          }
        }
      }
    }
  }
  EXPECT_EQ(cases, 440 + 40 * (static_cast<Index>(shapes.size()) - 1));
}

TYPED_TEST(PreconditionerTest, IsThePreconditionerOfTheGridForEveryMap) {
  using T = TypeParam;
  for_all_cases(this->world, [&](const auto& pairs, const auto& spectrum, Index outputs) {
    DistMatrix<double> R(pairs.vectors.grid(), pairs.n(), outputs, kBlock);
    R.fill(test::sine);
    GridPreconditioner<double>(pairs, spectrum).apply(R);
    RowBlock<double> expected(this->world, pairs.n(), outputs);
    dist::copy(R, expected);
    const auto r = test::sines<T>(this->world, pairs.n(), outputs);
    auto z = poisoned<T>(this->world, pairs.n(), outputs);
    Preconditioner<T>(pairs, spectrum).apply(this->world, r.transposed(), z.transposed());
    expect_close(z, expected, this->tolerance);
  });
}

TYPED_TEST(PreconditionerTest, MultipliesByTheInverseOfKWhereKIsNAndGIsOne) {
  using T = TypeParam;
  for (const auto shape : test::grid_shapes(this->world.size()))
    for (const Index n : {1, 7, 26}) {
      const dist::ProcessGrid grid(this->world, shape);
      const auto lambda = test::geometric(n, 1.5, 0.9);
      const auto pairs = test::householder_pairs<double>(lambda, n, grid, kBlock);
      DistMatrix<double> K(grid, n, n, kBlock), R(grid, n, 2, kBlock);
      K.fill(HouseholderMatrix(lambda));
      R.fill(test::sine);
      la::cholesky(K);
      la::cholesky_solve(K, R);
      RowBlock<double> expected(this->world, n, 2);
      dist::copy(R, expected);
      auto z = test::sines<T>(this->world, n, 2);
      const Preconditioner<T> S(pairs, test::mapped("inverse", pairs));
      S.apply(this->world, z.transposed(), z.transposed());
      expect_close(z, expected, this->tolerance);
    }
}

TYPED_TEST(PreconditionerTest, TheExcessIsWhatSAddsToTheSquaredResidual) {
  using T = TypeParam;
  for_all_cases(this->world, [&](const auto& pairs, const auto& spectrum, Index outputs) {
    const Preconditioner<T> S(pairs, spectrum);
    const auto r = test::sines<T>(this->world, pairs.n(), outputs);
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

TYPED_TEST(PreconditionerTest, IsTheIdentityToTheBitWhereGIsOrNothingIsGiven) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto pairs =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 6, grid, kBlock);
  const auto r = test::sines<T>(this->world, 13, 3);
  for (const auto& S :
       {Preconditioner<T>(), Preconditioner<T>(pairs, test::mapped("identity", pairs))}) {
    EXPECT_TRUE(S.identity());
    auto z = poisoned<T>(this->world, 13, 3);
    S.apply(this->world, r.transposed(), z.transposed());
    EXPECT_TRUE(std::ranges::equal(z.values(), r.values()));
    EXPECT_EQ(S.excess(Matrix<double>(3, 0).view()), 0);
  }
}

TYPED_TEST(PreconditionerTest, KeepsTheModesThatChangeInAnyNumberOfPanels) {
  using T = TypeParam;
  const Index n = 1501, k = 1450;  // 16 MiB are 1397 columns on one rank
  const dist::ProcessGrid grid(this->world);
  const auto lambda = test::geometric(n, 1.5, 0.999);
  const HouseholderMatrix K(lambda);
  const auto pairs = test::householder_pairs<double>(lambda, k, grid, kBlock);
  const auto spectrum = test::mapped("i < 700 || i > 1440 ? lk : (i < 900 ? l : 2 * l)", pairs);
  const Preconditioner<T> S(pairs, spectrum);
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

TYPED_TEST(PreconditionerTest, TheProjectionOfManyRowsIsSummedInDouble) {
  using T = TypeParam;
  const Index m = 1 << 20;
  Matrix<T> V(1, m, T{1}), R(1, m);
  double exact = 0;
  for (Index j = 0; j < m; ++j) {
    R(0, j) = static_cast<T>(1 + 0.1 * test::sine(j, 0));
    exact += static_cast<double>(R(0, j));
  }
  const Preconditioner<T> S(std::move(V), {1.0});
  Matrix<double> P(1, 1, test::kNaN);
  S.project(R.view(), P.view());
  EXPECT_TRUE(std::abs(P(0, 0) - exact) <= (std::is_same_v<T, double> ? 1e-12 : 1e-7) * exact)
      << P(0, 0) << " is not " << exact;
}

TYPED_TEST(PreconditionerTest, IsRebuiltToTheBitFromItsVectorsAndCoefficients) {
  using T = TypeParam;
  const dist::ProcessGrid grid(this->world);
  const auto pairs =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 6, grid, kBlock);
  const Preconditioner<T> S(pairs, test::mapped("flat", pairs));
  const Preconditioner<T> copy(S.vectors().copy(), S.coefficients());
  const auto r = test::sines<T>(this->world, 13, 3);
  auto one = poisoned<T>(this->world, 13, 3), two = poisoned<T>(this->world, 13, 3);
  S.apply(this->world, r.transposed(), one.transposed());
  copy.apply(this->world, r.transposed(), two.transposed());
  EXPECT_TRUE(std::ranges::equal(one.values(), two.values()));
  EXPECT_THROW(Preconditioner<T>(S.vectors().copy(), {1.0}), RunError);
  const auto other =
      test::householder_pairs<double>(test::geometric(13, 1.5, 0.9), 5, grid, kBlock);
  EXPECT_THROW(Preconditioner<T>(pairs, test::mapped("flat", other)), InputError);
}

}  // namespace
}  // namespace mercer::msk
