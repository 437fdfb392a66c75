// The rule of signs: the same vectors from every solver, grid and number of ranks.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/spectral/krylov.hpp"
#include "mercer/spectral/signs.hpp"
#include "support/grids.hpp"
#include "support/oracles.hpp"

namespace mercer::spectral {
namespace {

using comm::Communicator;
using dist::DistMatrix;
using dist::ProcessGrid;

/// The sign that the rule gives to a vector, by its definition.
double sign_of(const std::vector<double>& v) {
  double largest = 0;
  for (const double x : v) largest = std::max(largest, std::abs(x));
  for (const double x : v)
    if (std::abs(x) >= (1 - 1e-3) * largest) return x < 0 ? -1 : 1;
  return 1;
}

/// Eigenvector m of min(i, j) + 1 in closed form, with the rule's sign.
std::vector<double> exact(const test::MinMatrix& A, Index m) {
  std::vector<double> v;
  for (Index i = 0; i < A.n; ++i) v.push_back(A.eigenvector(i, m));
  const double sign = sign_of(v);
  for (double& x : v) x *= sign;
  return v;
}

template <class T>
void expect_exact(const DistMatrix<T>& V, const test::MinMatrix& A, double residual) {
  double worst = 0;
  for (Index j = 0; j < V.local_cols(); ++j) {
    const Index m = V.col_map().global({j}).value;
    const auto v = exact(A, m);
    const double gap =
        A.eigenvalue(m) - A.eigenvalue(m + 1);  // the smaller one: values fall faster
    const double allowed = 4 * residual * A.eigenvalue(0) / gap;
    for (Index i = 0; i < V.local_rows(); ++i) {
      const auto row = static_cast<std::size_t>(V.row_map().global({i}).value);
      const double error = std::abs(static_cast<double>(V.local()(i, j)) - v[row]) / allowed;
      worst = error <= worst ? worst : error;
    }
  }
  EXPECT_TRUE(V.grid().all().all_reduce(worst, comm::Op::max) <= 1);
}

TEST(Signs, AreThoseOfTheClosedFormForEverySolverAndGrid) {
  const auto world = Communicator::world();
  const test::MinMatrix A{90};
  int solved = 0;
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Method method : {Method::automatic, Method::elpa1, Method::elpa2, Method::scalapack,
                                Method::lapack, Method::krylov}) {
      SCOPED_TRACE(name(method) + " on " + std::to_string(shape.rows) + "x" +
                   std::to_string(shape.cols));
      DistMatrix<double> K(grid, A.n, A.n, 16);
      K.fill(A);
      const auto pairs = eigenpairs(std::move(K), {.top = 8, .method = method});
      expect_exact(pairs.vectors, A, method == Method::krylov ? 1e-10 : 1e-13);
      ++solved;
    }
  }
  EXPECT_GE(solved, 6);
}

TEST(Signs, AreThoseOfTheClosedFormInSinglePrecision) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const test::MinMatrix A{90};
  for (const Method method :
       {Method::automatic, Method::scalapack, Method::lapack, Method::krylov}) {
    SCOPED_TRACE(name(method));
    DistMatrix<float> K(grid, A.n, A.n, 16);
    K.fill(A);
    const auto pairs = eigenpairs(std::move(K), {.top = 6, .method = method});
    expect_exact(pairs.vectors, A, 2 * rounding_residual(A.n, true));
  }
}

TEST(Signs, AreThoseOfTheClosedFormForVectorsByRowsAndTheNextOne) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  const test::MinMatrix A{90};
  DistMatrix<double> K(grid, A.n, A.n, 16);
  K.fill(A);
  const gram::MatrixOperator<double> products(K);
  for (const bool single : {false, true}) {
    const auto pairs = krylov(products, {.top = 5, .single_vectors = single});
    ASSERT_EQ(pairs.next_vector.cols(), 1);
    for (Index m = 0; m <= 5; ++m) {
      const auto v = exact(A, m);
      const double gap = A.eigenvalue(m) - A.eigenvalue(m + 1);
      const double allowed = 4 * (1e-10 + (single ? 1.2e-7 : 0)) * A.eigenvalue(0) / gap;
      for (Index i = 0; i < pairs.vectors.rows(); ++i) {
        const double mine = m < 5 ? pairs.vectors(i, m) : pairs.next_vector(i, 0);
        EXPECT_NEAR(mine, v[static_cast<std::size_t>(products.first_row() + i)], allowed);
        if (single && m < 5) {
          EXPECT_EQ(mine, static_cast<double>(static_cast<float>(mine)));
        }
      }
    }
    const double floor = single ? 1e-9 : 0;  // what single keeps is measured, not what was before
    double largest = 0;
    for (const double r : pairs.residuals) largest = std::max(largest, r);
    EXPECT_GE(largest, floor);
    EXPECT_LE(largest, single ? 2.4e-7 : 2e-10);
  }
}

TEST(Signs, AreDecidedByTheLowestRowAmongTheLargest) {
  const auto world = Communicator::world();
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  // Columns: the largest is negative; a lower row is within 1e-3 and negative, positive; not within
  // it; zero; NaN.
  constexpr Index n = 7;
  const std::vector<std::vector<double>> columns{{0.1, 0.2, -0.9, 0.3, 0, 0, 0.1},
                                                 {0.1, -0.8995, 0.2, 0.9, 0, 0, 0.1},
                                                 {0.1, 0.8995, 0.2, -0.9, 0, 0, 0.1},
                                                 {0.1, 0.8985, 0.2, -0.9, 0, 0, 0.1},
                                                 {0, 0, 0, 0, 0, 0, 0},
                                                 {nan, nan, nan, nan, nan, nan, nan}};
  const std::vector<double> flips{-1, -1, 1, -1, 1, 1};
  int compared = 0;
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    DistMatrix<double> V(grid, n, static_cast<Index>(columns.size()), 2);
    V.fill([&](Index i, Index j) {
      return columns[static_cast<std::size_t>(j)][static_cast<std::size_t>(i)];
    });
    fix_signs(V);
    for (Index j = 0; j < V.local_cols(); ++j)
      for (Index i = 0; i < V.local_rows(); ++i) {
        const auto c = static_cast<std::size_t>(V.col_map().global({j}).value);
        const auto r = static_cast<std::size_t>(V.row_map().global({i}).value);
        const double expected = flips[c] * columns[c][r];
        EXPECT_TRUE(V.local()(i, j) == expected || std::isnan(expected)) << r << " " << c;
        ++compared;
      }
  }
  EXPECT_GE(world.all_reduce(compared, comm::Op::sum), n * 6);
}

}  // namespace
}  // namespace mercer::spectral
