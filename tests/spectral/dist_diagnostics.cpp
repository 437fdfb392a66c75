// Alignment of targets with eigenvectors that are known as formulas, and with dense arithmetic.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "krr/naive.hpp"
#include "mercer/base/random.hpp"
#include "mercer/spectral/diagnostics.hpp"
#include "support/errors.hpp"
#include "support/grids.hpp"
#include "support/oracles.hpp"

namespace mercer::spectral {
namespace {

constexpr Index kBlock = 4;

struct Alignments : testing::Test {
  comm::Communicator world = comm::Communicator::world();

  template <class T = double, class F>
  Eigenpairs<T> pairs(const dist::ProcessGrid& grid, Index n, Index top, F&& f) const {
    dist::DistMatrix<T> K(grid, n, n, kBlock);
    K.fill([&](Index i, Index j) { return static_cast<T>(f(i, j)); });
    return eigenpairs(std::move(K), {.top = top});
  }
  RowBlock<double> targets(Index n, Index c) const {
    const Random random(8, Stream::test);
    return test::row_block(world, n, c, [&](Index i, Index a) {
      return (1 + static_cast<double>(a)) * random.normal(static_cast<std::uint64_t>(i * c + a));
    });
  }
};

TEST_F(Alignments, AreThoseOfDenseArithmetic) {
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Index c : {1, 3, 9})
      for (const Index k : {7, 23}) {
        const Index n = 23;
        const test::MinMatrix K{n};
        const auto found = pairs(grid, n, k, K);
        const auto Y = targets(n, c);
        const auto y = test::replicated(Y);
        const auto a = align(found, spaces(found.values, 1e-12), Y, 1e-12);
        ASSERT_EQ(a.spaces, k);
        ASSERT_EQ(a.columns, c);
        ASSERT_EQ(std::ssize(a.parts), k * c);
        double all = 0, trace = 0;
        for (Index j = 0; j < c; ++j)
          for (Index i = 0; i < n; ++i) all += y(i, j) * y(i, j);
        std::vector<double> total(static_cast<std::size_t>(k), 0.0);
        for (Index j = 0; j < c; ++j) {
          double square = 0, form = 0, norm = 0, inside = 0;
          for (Index i = 0; i < n; ++i) square += y(i, j) * y(i, j);
          for (Index l = 0; l < n; ++l)
            for (Index i = 0; i < n; ++i) {
              form += y(i, j) * K(i, l) * y(l, j);
              norm += K(i, l) * K(i, l);
            }
          for (Index m = 0; m < k; ++m) {
            double part = 0;
            for (Index i = 0; i < n; ++i) part += K.eigenvector(i, m) * y(i, j);
            // Vectors have errors of about n eps lambda_1/gap = 23 2e-16 222/0.003.
            const auto at = static_cast<std::size_t>(m * c + j);
            EXPECT_NEAR(a.parts[at], part * part / square, 1e-10);
            inside += part * part / square;
            total[static_cast<std::size_t>(m)] += part * part / all;
          }
          EXPECT_NEAR(a.outside[static_cast<std::size_t>(j)], 1 - inside, 1e-10);
          if (k == n) {
            EXPECT_NEAR(a.kernel_alignment.at(static_cast<std::size_t>(j)),
                        form / (std::sqrt(norm) * square), 1e-12);
          }
        }
        EXPECT_EQ(a.kernel_alignment.empty(), k < n);
        for (Index m = 0; m < k; ++m) {
          EXPECT_NEAR(a.total[static_cast<std::size_t>(m)], total[static_cast<std::size_t>(m)],
                      1e-10);
          trace += total[static_cast<std::size_t>(m)];
        }
        EXPECT_NEAR(a.outside_total, 1 - trace, 1e-10);
      }
  }
}

TEST_F(Alignments, OfEqualEigenvaluesAreThoseOfTheSpace) {
  const Index n = 24;
  const test::CirculantMatrix K{n, [](double x) { return std::exp(2 * x); }};
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const double phase : {0.0, 0.7}) {
      const auto Y = test::row_block(world, n, 2, [&](Index i, Index a) {
        const double t = 2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(n);
        return std::sin(2 * t + phase) + (a == 1 ? 3 * std::cos(t - phase) : 0.0);
      });
      const auto found = pairs(grid, n, 7, K);
      const auto all = spaces(found.values, 1e-10);  // frequencies 0 ... 3
      ASSERT_EQ(all.size(), 4U);
      const auto a = align(found, all, Y, 1e-10);
      ASSERT_EQ(a.spaces, 4);
      const double exact[] = {0, 0, 0, 0.9, 1, 0.1, 0, 0};
      for (std::size_t e = 0; e < 8; ++e) EXPECT_NEAR(a.parts[e], exact[e], 1e-12) << e;
      EXPECT_NEAR(a.total[1], 9.0 / 11, 1e-12);  // |y_0|^2 : |y_1|^2 = 1 : 10
      EXPECT_NEAR(a.outside_total, 0, 1e-12);
    }
  }
}

TEST_F(Alignments, LeaveOutASpaceThatTheTopPairsCut) {
  const dist::ProcessGrid grid(world);
  const Index n = 24;
  const test::CirculantMatrix K{n, [](double x) { return std::exp(2 * x); }};
  const auto Y = targets(n, 2);
  const auto whole = pairs(grid, n, 7, K), cut = pairs(grid, n, 6, K);
  const auto a = align(whole, spaces(whole.values, 1e-10), Y, 1e-10);
  const auto b = align(cut, spaces(cut.values, 1e-10), Y, 1e-10);
  ASSERT_EQ(a.spaces, 4);
  ASSERT_EQ(b.spaces, 3);
  for (std::size_t e = 0; e < 6; ++e) EXPECT_NEAR(a.parts[e], b.parts[e], 1e-12);
  EXPECT_NEAR(b.outside[0], a.outside[0] + a.parts[6], 1e-12);
}

TEST_F(Alignments, InSinglePrecisionAreRightToItsRounding) {
  const dist::ProcessGrid grid(world);
  const Index n = 23;
  const test::MinMatrix K{n};
  auto Y = targets(n, 3);
  for (double& y : Y.values()) y *= 1e25;  // squares are beyond float
  const auto found = pairs<float>(grid, n, 4, K);
  const auto exact = pairs(grid, n, 4, K);
  const auto a = align(found, spaces(found.values, 1e-6), Y, 1e-6);
  const auto b = align(exact, spaces(exact.values, 1e-12), Y, 1e-12);
  ASSERT_EQ(a.parts.size(), b.parts.size());
  // n eps lambda_1/gap = 23 1.2e-7 222/2 of the fourth pair.
  for (std::size_t e = 0; e < a.parts.size(); ++e) EXPECT_NEAR(a.parts[e], b.parts[e], 3e-4);
}

TEST_F(Alignments, OfAColumnOfZerosAreNotNumbers) {
  const dist::ProcessGrid grid(world);
  const auto found = pairs(grid, 12, 12, test::MinMatrix{12});
  const auto all = spaces(found.values, 1e-12);
  const auto Y = test::row_block(
      world, 12, 2, [](Index i, Index a) { return a == 0 ? 0.0 : static_cast<double>(i); });
  const auto a = align(found, all, Y, 1e-12);
  EXPECT_TRUE(std::isnan(a.parts[0]) && std::isnan(a.outside[0]));
  EXPECT_TRUE(std::isnan(a.kernel_alignment[0]));
  EXPECT_NEAR(a.total[0], a.parts[1], 1e-14);
  EXPECT_NEAR(a.outside_total, 0, 1e-13);
  const auto refused = [&](const RowBlock<double>& targets) {
    return test::input_error([&] { align(found, all, targets, 1e-12); });
  };
  const auto constant = [&](Index n, Index c, double value) {
    return test::row_block(world, n, c, [=](Index, Index) { return value; });
  };
  test::expect_words(refused(constant(12, 1, 0)), {"zero"});
  test::expect_words(refused(constant(12, 1, std::nan(""))), {"not finite"});
  test::expect_words(refused(constant(11, 1, 1)), {"11 x 1", "12 rows"});
  test::expect_words(refused(constant(12, 0, 1)), {"12 x 0"});
}

}  // namespace
}  // namespace mercer::spectral
