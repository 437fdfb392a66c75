#include <gtest/gtest.h>

#include <atomic>
#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/gram/source.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"

namespace mercer::test {
namespace {

constexpr Index kDimension = 3;

double input(Index i, Index c) {
  return Random(7, Stream::test, 1).normal(static_cast<std::uint64_t>(i * kDimension + c));
}
double other_input(Index i, Index c) {
  return Random(7, Stream::test, 2).normal(static_cast<std::uint64_t>(i * kDimension + c));
}
double coefficient(Index i, Index c) {
  return std::sin(static_cast<double>(3 * i + c + 1));
}

/// 1/(1 + |x - z|^2) by a plain loop, which counts the entries that were asked for.
class CountingKernel : public kernel::Kernel {
 public:
  struct PlainRows : kernel::Rows {
    Matrix<double> x;
    Index size() const override { return x.cols(); }
    Index bytes() const override { return x.size() * 8; }
  };
  std::string text() const override { return "cauchy"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<PlainRows>();
    rows->x = std::move(X);
    return rows;
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    const auto& a = dynamic_cast<const PlainRows&>(x).x;
    const auto& b = dynamic_cast<const PlainRows&>(z).x;
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i) {
        double distance = 0;
        for (Index c = 0; c < a.rows(); ++c) distance += std::pow(a(c, i0 + i) - b(c, j0 + j), 2);
        out(i, j) = 1 / (1 + distance);
      }
    entries += out.rows * out.cols;
  }
  void diagonal(const kernel::Rows&, Index, Index count, double* out) const override {
    std::fill_n(out, count, 1.0);
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }
  mutable std::atomic<Index> entries{0};
};

template <class F>
double expected(F&& x, Index i, Index j) {
  double distance = 0;
  for (Index c = 0; c < kDimension; ++c) distance += std::pow(x(i, c) - input(j, c), 2);
  return 1 / (1 + distance);
}

template <class F>
dist::RowBlock<double> rows_of(const comm::Communicator& comm, Index n, Index cols, F&& f) {
  dist::RowBlock<double> X(comm, n, cols);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index c = 0; c < cols; ++c)
      X.row(i)[static_cast<std::size_t>(c)] = f(X.first_row() + i, c);
  return X;
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
        const auto K = gram::assemble<double>(CountingKernel{}, X, grid,
                                              {.panel_bytes = c.panel_bytes, .nb = c.nb});
        const double scale = 1.0 / static_cast<double>(n);
        expect_equal(
            K, [&](Index i, Index j) { return scale * expected(input, i, j); }, 1e-16);
      }
  }
}

TEST(Assemble, MakesBothTrianglesEqualToTheBitInDoubleAndSingle) {
  const auto world = comm::Communicator::world();
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto X = rows_of(world, 61, kDimension, input);
    const auto check = [&](auto tag) {
      using T = decltype(tag);
      const auto K = gram::assemble<T>(CountingKernel{}, X, grid, {.nb = 4});
      dist::RowBlock<T> rows(world, 61, 61);
      dist::copy(K, rows);
      const auto all = dist::all_rows(rows);
      Index different = 0;
      for (Index i = 0; i < 61; ++i)
        for (Index j = 0; j < i; ++j) different += all(i, j) != all(j, i);
      EXPECT_EQ(different, 0);
      EXPECT_TRUE(std::abs(static_cast<double>(all(3, 40)) * 61 - expected(input, 3, 40)) < 1e-7);
    };
    check(double{});
    check(float{});
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

TEST(AssembleCross, GivesEveryEntryNotDividedByN) {
  const auto world = comm::Communicator::world();
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Case& c : kCases)
      for (const auto& [m, n] : {std::pair<Index, Index>{13, 22}, {30, 5}, {1, 9}, {0, 4}}) {
        const auto Z = rows_of(world, m, kDimension, other_input);
        const auto X = rows_of(world, n, kDimension, input);
        const auto K = gram::assemble_cross<double>(CountingKernel{}, Z, X, grid,
                                                    {.panel_bytes = c.panel_bytes, .nb = c.nb});
        expect_equal(
            K, [&](Index i, Index j) { return expected(other_input, i, j); }, 1e-15);
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

TEST(Progress, IsTotalAndNeverFallsBack) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  double last = 0;
  bool rising = true;
  const auto K =
      gram::assemble<double>(CountingKernel{}, rows_of(world, 100, kDimension, input), grid,
                             {.panel_bytes = 1.0, .nb = 4, .progress = [&](double share) {
                                rising = rising && share >= last && share <= 1.0;
                                last = share;
                              }});
  EXPECT_TRUE(rising);
}

}  // namespace
}  // namespace mercer::test
