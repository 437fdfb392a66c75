#include <gtest/gtest.h>

#include "mercer/features/normal_equations.hpp"
#include "support/grids.hpp"

namespace mercer::features {
namespace {

using comm::Communicator;
using dist::ProcessGrid;

/// Feature a of row i, and target o of it, as formulas of the indices.
double feature(Index i, Index a) {
  return std::sin(static_cast<double>(5 * i + 3 * a * a + 1));
}
double target(Index i, Index o) {
  return std::cos(static_cast<double>(2 * i + 7 * o));
}

template <class T>
void sums_over_panels_match(double tolerance) {
  const auto world = Communicator::world();
  Index compared = 0;
  for (const auto shape : test::grid_shapes(world.size()))
    for (const Index s : {1, 7, 40})
      for (const Index nb : {4, 16}) {
        const ProcessGrid grid(world, shape);
        const Index n = 23, c = 2;
        Accumulator<T> sums(grid, s, c, nb);
        // Panels of unequal widths, some empty; every row on the rank that is its turn.
        for (Index first = 0; first < n;) {
          const Index width = std::min<Index>(n - first, 1 + first % 5);
          std::vector<Index> mine;
          for (Index i = first; i < first + width; ++i)
            if (i % world.size() == world.rank()) mine.push_back(i);
          Matrix<T> psi(s, std::ssize(mine));
          Matrix<double> y(c, std::ssize(mine));
          for (Index j = 0; j < psi.cols(); ++j) {
            const Index i = mine[static_cast<std::size_t>(j)];
            for (Index a = 0; a < s; ++a) psi(a, j) = static_cast<T>(feature(i, a));
            for (Index o = 0; o < c; ++o) y(o, j) = target(i, o);
          }
          sums.add(std::as_const(psi).view(), std::as_const(y).view());
          first += width;
        }
        EXPECT_EQ(sums.rows(), n);
        const auto system = std::move(sums).finish();
        EXPECT_EQ(system.n, n);
        const auto mean = [&](auto&& f) {
          double sum = 0;
          for (Index i = 0; i < n; ++i) sum += f(i);
          return sum / static_cast<double>(n);
        };
        const auto& A = system.A;
        for (Index j = 0; j < A.local_cols(); ++j)
          for (Index i = 0; i < A.local_rows(); ++i) {
            const Index a = A.row_map().global({i}).value, b = A.col_map().global({j}).value;
            if (a < b) continue;
            EXPECT_NEAR(A.local()(i, j),
                        mean([&](Index r) { return feature(r, a) * feature(r, b); }), tolerance);
            ++compared;
          }
        for (Index o = 0; o < c; ++o) {
          for (Index a = 0; a < s; ++a)
            EXPECT_NEAR(system.B(a, o), mean([&](Index r) { return feature(r, a) * target(r, o); }),
                        tolerance);
          EXPECT_NEAR(system.y_square[static_cast<std::size_t>(o)],
                      mean([&](Index r) { return target(r, o) * target(r, o); }), 1e-14);
        }
      }
  EXPECT_GT(world.all_reduce(compared, comm::Op::sum), 1000);
}

TEST(NormalEquations, AreSumsOverPanelsOnEveryGrid) {
  sums_over_panels_match<double>(1e-14);
}

TEST(NormalEquations, InSinglePrecisionAreSumsToItsRounding) {
  sums_over_panels_match<float>(1e-6);
}

}  // namespace
}  // namespace mercer::features
