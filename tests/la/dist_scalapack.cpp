#include <gtest/gtest.h>

#include <cmath>

#include "mercer/la/scalapack.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"
#include "support/oracles.hpp"

namespace mercer::la {
namespace {

using comm::Communicator;
using dist::DistMatrix;
using dist::ProcessGrid;
using test::MinMatrix;

double a(Index i, Index j) {
  return std::sin(1.0 + static_cast<double>(3 * i + 7 * j));
}
double b(Index i, Index j) {
  return std::cos(2.0 + static_cast<double>(5 * i - 2 * j));
}

template <class Body>
void on_every_grid(Body body) {
  const auto world = Communicator::world();
  for (const auto shape : test::grid_shapes(world.size())) {
    const ProcessGrid grid(world, shape);
    for (const Index nb : {3, 8}) {
      SCOPED_TRACE(fmt::format("grid {}x{}, nb {}", shape.rows, shape.cols, nb));
      body(grid, nb);
    }
  }
}

TEST(Products, OfDistributedMatricesAreTheSums) {
  on_every_grid([](const ProcessGrid& grid, Index nb) {
    const Index m = 13, n = 9, k = 17;
    for (const bool ta : {false, true})
      for (const bool tb : {false, true}) {
        DistMatrix<double> A(grid, ta ? k : m, ta ? m : k, nb), B(grid, tb ? n : k, tb ? k : n, nb),
            C(grid, m, n, nb);
        A.fill(a), B.fill(b), test::poison(C);
        gemm(ta ? Trans::yes : Trans::no, tb ? Trans::yes : Trans::no, 2.0, A, B, 0.0, C);
        test::expect_equal(
            C,
            [&](Index i, Index j) {
              double sum = 0;
              for (Index l = 0; l < k; ++l)
                sum += (ta ? a(l, i) : a(i, l)) * (tb ? b(j, l) : b(l, j));
              return 2 * sum;
            },
            1e-13);
      }
  });
}

TEST(Products, WithoutAnInnerExtentAreZero) {
  on_every_grid([](const ProcessGrid& grid, Index nb) {
    DistMatrix<double> A(grid, 5, 0, nb), B(grid, 0, 4, nb), C(grid, 5, 4, nb);
    test::poison(C);
    gemm(Trans::no, Trans::no, 1.0, A, B, 0.0, C);
    test::expect_equal(
        C, [](Index, Index) { return 0.0; }, 0);
  });
}

TEST(Products, OfASymmetricMatrixUseItsLowerTriangle) {
  on_every_grid([](const ProcessGrid& grid, Index nb) {
    const Index n = 14, c = 3;
    DistMatrix<double> A(grid, n, n, nb), B(grid, n, c, nb), C(grid, n, c, nb), S(grid, n, n, nb);
    A.fill(MinMatrix{n}), B.fill(b), test::poison(C), test::poison(S);
    symm(1.0, A, B, 0.0, C);
    test::expect_equal(
        C,
        [&](Index i, Index j) {
          double sum = 0;
          for (Index l = 0; l < n; ++l) sum += MinMatrix{n}(i, l) * b(l, j);
          return sum;
        },
        1e-12);
    syrk_lower(1.0, B, 0.0, S);
    const auto sum = [&](Index i, Index j) {
      double s = 0;
      for (Index l = 0; l < c; ++l) s += b(i, l) * b(j, l);
      return s;
    };
    for (Index j = 0; j < S.local_cols(); ++j)  // the upper triangle is not syrk's to write
      for (Index i = 0; i < S.local_rows(); ++i)
        if (S.row_map().global({i}).value < S.col_map().global({j}).value) S.local()(i, j) = 0;
    test::expect_equal(
        S, [&](Index i, Index j) { return i < j ? 0 : sum(i, j); }, 1e-13);
  });
}

TEST(Elementwise, SumsScalingsAndShiftsFollowTheGlobalIndex) {
  on_every_grid([](const ProcessGrid& grid, Index nb) {
    const Index n = 19;
    DistMatrix<double> A(grid, n, n, nb), B(grid, n, n, nb);
    A.fill(a), B.fill(b);
    std::vector<double> scale, dots(static_cast<std::size_t>(n), 0.0);
    double sum = 0, squares = 0;
    for (Index j = 0; j < n; ++j) {
      scale.push_back(static_cast<double>(j) - 3);
      sum += a(j, j);
      for (Index i = 0; i < n; ++i) {
        dots[static_cast<std::size_t>(j)] += a(i, j) * b(i, j);
        squares += a(i, j) * a(i, j);
      }
    }
    EXPECT_NEAR(trace(A), sum, 1e-13);
    EXPECT_NEAR(frobenius_norm(A), std::sqrt(squares), 1e-13);
    const auto found = column_dots(A, B);
    ASSERT_EQ(found.size(), dots.size());
    for (std::size_t j = 0; j < dots.size(); ++j) EXPECT_NEAR(found[j], dots[j], 1e-13);
    shift_diagonal(A, 0.5);
    scale_columns<double>(A, scale);
    test::expect_equal(
        A,
        [&](Index i, Index j) {
          return (a(i, j) + (i == j ? 0.5 : 0)) * (static_cast<double>(j) - 3);
        },
        1e-13);
  });
}

TEST(Cholesky, FactorsAndSolves) {
  on_every_grid([](const ProcessGrid& grid, Index nb) {
    for (const Index n : {0, 1, 7, 30}) {
      DistMatrix<double> A(grid, n, n, nb), B(grid, n, 3, nb);
      A.fill(MinMatrix{n});
      // A x = b with x = a: exact right-hand sides.
      B.fill([&](Index i, Index j) {
        double sum = 0;
        for (Index l = 0; l < n; ++l) sum += MinMatrix{n}(i, l) * a(l, j);
        return sum;
      });
      EXPECT_EQ(cholesky(A), 0);
      cholesky_solve(A, B);
      test::expect_equal(B, a, 1e-10);
      if (n == 30) {
        const double lowest = MinMatrix{n}.eigenvalue(n - 1);
        EXPECT_NEAR(smallest_eigenvalue(A, 60), lowest, 0.02 * lowest);
      }
    }
  });
}

TEST(Cholesky, NamesTheLeadingMinorThatIsNotPositive) {
  on_every_grid([](const ProcessGrid& grid, Index nb) {
    const Index n = 30;
    DistMatrix<double> A(grid, n, n, nb);
    A.fill([&](Index i, Index j) { return MinMatrix{n}(i, j) - (i == 20 && j == 20 ? 5 : 0); });
    EXPECT_EQ(cholesky(A), 21);
  });
}

TEST(Shapes, ThatDoNotMatchAreRefusedOnEveryRank) {
  const auto world = Communicator::world();
  const ProcessGrid grid(world);
  DistMatrix<double> A(grid, 4, 5, 2), B(grid, 4, 4, 2), C(grid, 5, 4, 3);
  EXPECT_THROW(gemm(Trans::no, Trans::no, 1.0, A, B, 0.0, B), InputError);
  EXPECT_THROW(gemm(Trans::no, Trans::no, 1.0, B, B, 0.0, C), InputError);
  EXPECT_THROW(cholesky(A), InputError);
  EXPECT_THROW(syevd(std::move(A), B), InputError);
}

TEST(WorkspaceOfSyevd, BeyondThirtyTwoBitsNamesTheSmallestNumberOfRanks) {
  EXPECT_EQ(smallest_ranks_for_syevd(32000), 1);
  EXPECT_EQ(smallest_ranks_for_syevd(60000), 4);
  EXPECT_EQ(smallest_ranks_for_syevd(100000), 10);
}

}  // namespace
}  // namespace mercer::la
