#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "counting_kernel.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/gram/source.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::test {
namespace {

double coefficient(Index i, Index c) {
  return std::sin(static_cast<double>(3 * i + c + 1));
}

struct Case {
  Index nb;
  double panel_bytes;
};
const Case kCases[] = {{4, 1e9}, {7, 1e9}, {4, 1.0}, {5, 8.0 * 512 * 512 + 40 * 72.0}};

TEST(Assemble, GivesEveryEntryOfKOnEveryGridBlockSizeAndPanel) {
  const auto world = comm::Communicator::world();
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Case& c : kCases)
      for (const Index n : awkward_sizes(c.nb)) {
        SCOPED_TRACE(fmt::format("{}x{} n={} nb={}", shape.rows, shape.cols, n, c.nb));
        const auto X = rows_of(world, n, kDimension, input);
        for (const double steps : kSteps) {
          const auto K = gram::assemble<double>(CountingKernel(steps), X, grid,
                                                {.panel_bytes = c.panel_bytes, .nb = c.nb});
          const double scale = 1.0 / static_cast<double>(n);
          expect_equal(
              K, [&](Index i, Index j) { return scale * expected(input, i, j); }, 1e-16);
        }
      }
  }
}

TEST(Assemble, MakesBothTrianglesEqualToTheBitInDoubleAndSingle) {
  const auto world = comm::Communicator::world();
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto X = rows_of(world, 61, kDimension, input);
    const auto check = [&](auto tag, double steps) {
      using T = decltype(tag);
      const auto K = gram::assemble<T>(CountingKernel(steps), X, grid, {.nb = 4});
      dist::RowBlock<T> rows(world, 61, 61);
      dist::copy(K, rows);
      const auto all = dist::all_rows(rows);
      Index different = 0;
      for (Index i = 0; i < 61; ++i)
        for (Index j = 0; j < i; ++j) different += all(i, j) != all(j, i);
      EXPECT_EQ(different, 0);
      EXPECT_TRUE(std::abs(static_cast<double>(all(3, 40)) * 61 - expected(input, 3, 40)) < 1e-7);
    };
    for (const double steps : kSteps) {
      check(double{}, steps);
      check(float{}, steps);
    }
  }
}

TEST(Assemble, ComputesEachPairOnceUpToTheDiagonalBlocks) {
  const auto world = comm::Communicator::world();
  constexpr Index n = 230, nb = 8;
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    CountingKernel kernel;
    const auto K =
        gram::assemble<double>(kernel, rows_of(world, n, kDimension, input), grid, {.nb = nb});
    const Index entries = world.all_reduce(kernel.entries.load(), comm::Op::sum);
    EXPECT_GE(entries, n * (n + 1) / 2);
    EXPECT_LE(entries, n * (n + 1) / 2 + n * nb / 2);
  }
}

TEST(Assemble, SharesCostlyEntriesOutEvenlyOnEveryGridAndBlockSize) {
  const auto world = comm::Communicator::world();
  constexpr Index n = 330;
  for (const auto shape : grid_shapes(world.size()))
    for (const Index nb : {8, 64, 200}) {
      const dist::ProcessGrid grid(world, shape);
      CountingKernel kernel(1e5);
      const auto K =
          gram::assemble<double>(kernel, rows_of(world, n, kDimension, input), grid, {.nb = nb});
      const double mine = static_cast<double>(kernel.entries.load());
      const double all = world.all_reduce(mine, comm::Op::sum);
      EXPECT_GE(all, n * (n + 1) / 2);
      EXPECT_LE(all, 1.02 * n * (n + 1) / 2);
      EXPECT_LE(std::abs(mine * world.size() - all), 0.03 * all) << "rank " << world.rank();
    }
}

TEST(AssembleCross, GivesEveryEntryNotDividedByN) {
  const auto world = comm::Communicator::world();
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Case& c : kCases)
      for (const auto& [m, n] : {std::pair<Index, Index>{13, 22}, {30, 5}, {1, 9}, {0, 4}}) {
        const auto Z = rows_of(world, m, kDimension, other_input);
        const auto X = rows_of(world, n, kDimension, input);
        for (const double steps : kSteps) {
          const auto K = gram::assemble_cross<double>(CountingKernel(steps), Z, X, grid,
                                                      {.panel_bytes = c.panel_bytes, .nb = c.nb});
          expect_equal(
              K, [&](Index i, Index j) { return expected(other_input, i, j); }, 1e-15);
        }
      }
  }
}

TEST(ApplyCross, EqualsTheStoredMatrixTimesTheCoefficients) {
  const auto world = comm::Communicator::world();
  for (const double panel_bytes : {1e9, 1.0})
    for (const auto& [m, n] : {std::pair<Index, Index>{13, 122}, {30, 5}, {1, 9}}) {
      const auto Z = rows_of(world, m, kDimension, other_input);
      const auto X = rows_of(world, n, kDimension, input);
      const auto A = rows_of(world, n, 2, coefficient);
      const auto F = gram::apply_cross(CountingKernel{}, Z, X, A, {.panel_bytes = panel_bytes});
      EXPECT_EQ(F.rows(), m);
      for (Index i = 0; i < F.local_rows(); ++i)
        for (Index c = 0; c < 2; ++c) {
          double sum = 0;
          for (Index j = 0; j < n; ++j)
            sum += expected(other_input, F.first_row() + i, j) * coefficient(j, c);
          EXPECT_TRUE(std::abs(F.row(i)[static_cast<std::size_t>(c)] -
                               sum / static_cast<double>(n)) <= 1e-14);
        }
    }
}

TEST(Progress, IsTheShareOfTheEntriesOnEveryRank) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto X = rows_of(world, 200, kDimension, input);
  for (const double steps : kSteps)
    for (const double panel_bytes : {1e9, 1.0}) {
      CountingKernel kernel(steps);
      std::vector<std::pair<double, double>> seen;  // share, entries
      const auto K = gram::assemble<double>(
          kernel, X, grid, {.panel_bytes = panel_bytes, .nb = 4, .progress = [&](double share) {
                              seen.emplace_back(share, static_cast<double>(kernel.entries));
                            }});
      if (kernel.entries == 0) continue;  // more ranks than the grid
      ASSERT_FALSE(seen.empty());
      const auto all = static_cast<double>(kernel.entries);
      EXPECT_EQ(seen.back().first, 1.0);
      double largest = 0;  // entries between two calls
      for (std::size_t i = 0; i < seen.size(); ++i) {
        EXPECT_NEAR(seen[i].first, seen[i].second / all, 1e-12);
        largest = std::max(largest, seen[i].second - (i > 0 ? seen[i - 1].second : 0));
      }
      EXPECT_LE(largest, steps > 1 ? 64 : all);
    }
}

TEST(Progress, OfAProductWithTheKernelIsTheShareOfTheEntries) {
  const auto world = comm::Communicator::world();
  const auto Z = rows_of(world, 40, kDimension, other_input);
  const auto X = rows_of(world, 130, kDimension, input);
  const auto A = rows_of(world, 130, 2, coefficient);
  for (const double steps : kSteps) {
    CountingKernel kernel(steps);
    double last = 0;
    Index calls = 0;
    (void)gram::apply_cross(kernel, Z, X, A, {.progress = [&](double share) {
                              EXPECT_GE(share, last);
                              last = share;
                              ++calls;
                            }});
    if (Z.local_rows() == 0) continue;
    EXPECT_NEAR(last, 1.0, 1e-12);
    EXPECT_GE(calls, steps > 1e6 ? 130 : 1);
  }
}

}  // namespace
}  // namespace mercer::test
