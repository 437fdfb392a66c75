#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mercer/base/random.hpp"
#include "mercer/kernel/kernel.hpp"
#include "tile_loops.hpp"

namespace mercer {
namespace {

using kernel::Kind;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Rows that are far from the origin beside their distances, with an equal pair and a zero row.
Matrix<double> rows_far_away(Index d, Index m) {
  Matrix<double> X(d, m);
  const Random random(3, Stream::test);
  for (Index j = 0; j < m; ++j)
    for (Index k = 0; k < d; ++k)
      X(k, j) = 1000 + std::pow(10.0, -static_cast<double>(j % 8)) *
                           random.normal(static_cast<std::uint64_t>(k + j * d));
  for (Index k = 0; k < d; ++k) {
    X(k, 1) = X(k, 0);
    X(k, 2) = 0;
  }
  return X;
}

TEST(PlainKernels, GaussianAndLaplaceKeepTwelveDigitsWhereDistancesAreSmallBesideNorms) {
  const Index d = 5, m = 40;
  const auto X = rows_far_away(d, m);
  for (const Kind kind : {Kind::gaussian, Kind::laplace})
    for (const double h : {0.01, 1.0, 1000.0}) {
      const auto k = kernel::make({kind, {}, h});
      const auto rows = k->prepare(X.copy());
      Matrix<double> out(m, m, kNan);
      k->tile(*rows, 0, *rows, 0, out.view());
      for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < m; ++j) {
          long double d2 = 0;
          for (Index r = 0; r < d; ++r) {
            const long double t = static_cast<long double>(X(r, i)) - X(r, j);
            d2 += t * t;
          }
          const double exact = static_cast<double>(
              kind == Kind::gaussian ? std::exp(-d2 / (2 * static_cast<long double>(h) * h))
                                     : std::exp(-std::sqrt(d2) / h));
          EXPECT_NEAR(out(i, j), exact, 1e-12) << h;
        }
      EXPECT_EQ(out(0, 1), 1);
      EXPECT_EQ(out(5, 5), 1);
      double diagonal[3] = {kNan, kNan, kNan};
      k->diagonal(*rows, 4, 3, diagonal);
      for (const double v : diagonal) EXPECT_EQ(v, 1);
      EXPECT_EQ(rows->bytes(), m * k->bytes_per_row(d));
    }
}

TEST(PlainKernels, LinearIsTheDotProduct) {
  const Index d = 4, m = 9;
  const auto X = rows_far_away(d, m);
  const auto k = kernel::make({Kind::linear, {}, 1});
  const auto rows = k->prepare(X.copy());
  Matrix<double> out(3, 5, kNan);
  k->tile(*rows, 2, *rows, 4, out.view());
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 5; ++j) {
      double dot = 0;
      for (Index r = 0; r < d; ++r) dot += X(r, 2 + i) * X(r, 4 + j);
      EXPECT_NEAR(out(i, j), dot, 1e-14 * 4e6);
    }
  double diagonal = kNan;
  k->diagonal(*rows, 4, 1, &diagonal);
  EXPECT_NEAR(diagonal, out(2, 0), 1e-14 * 4e6);
}

TEST(PlainKernels, SayWhatTheyAre) {
  EXPECT_EQ(kernel::make({Kind::gaussian, {}, 0.5})->text(), "gaussian(bandwidth=0.5)");
  EXPECT_EQ(kernel::make({Kind::laplace, {}, 2})->text(), "laplace(bandwidth=2)");
  EXPECT_EQ(kernel::make({Kind::linear, {}, 1})->text(), "linear");
  for (const double h : {0.0, -1.0, kNan, HUGE_VAL}) {
    EXPECT_THROW((void)kernel::make({Kind::gaussian, {}, h}), InputError);
    EXPECT_THROW((void)kernel::make({Kind::laplace, {}, h}), InputError);
  }
  EXPECT_THROW((void)kernel::make({Kind::ntk, {}, 1}), InputError);  // no layers
}

}  // namespace

namespace kernel {
namespace baseline {
extern const TileLoops loops;
}
#ifdef MERCER_LOOPS_X86
namespace avx2 {
extern const TileLoops loops;
}
namespace avx512 {
extern const TileLoops loops;
}
#endif

namespace {

std::vector<const TileLoops*> versions() {
  std::vector<const TileLoops*> all{&baseline::loops};
#ifdef MERCER_LOOPS_X86
  const std::string widest = tile_loops().name;
  if (widest != "baseline") all.push_back(&avx2::loops);
  if (widest == "avx512") all.push_back(&avx512::loops);
#endif
  return all;
}

/// A segment of n pairs at all angles, exactly parallel and antiparallel ones among them.
struct Pairs {
  explicit Pairs(std::int64_t n) : c(n), sigma(n), tau(n), one(n), two(n) {
    for (std::int64_t i = 0; i < n; ++i) {
      const double theta = 3.141592653589793 * static_cast<double>(i % 97) / 96 *
                           std::pow(10.0, -static_cast<double>(i % 3) * 4);
      c[i] = i % 97 == 0 ? 1 : i % 97 == 96 && i % 3 == 0 ? -1 : std::cos(theta);
      sigma[i] = std::fabs(c[i]) == 1 ? 0 : std::sin(theta) * std::sin(theta);
      tau[i] = 1 + 0.01 * static_cast<double>(i % 7);
      one[i] = 0.1 + 0.8 * static_cast<double>(i % 11) / 11;
      two[i] = std::sqrt(1 - one[i] * one[i]);
    }
  }
  Segment segment() {
    return {static_cast<std::int64_t>(c.size()), c.data(), sigma.data(), tau.data()};
  }
  std::vector<double> c, sigma, tau, one, two;
};

using Apply = void (*)(const TileLoops&, Pairs&);

TEST(TileLoops, EveryInstructionSetGivesTheSameValuesAtEveryLength) {
  EXPECT_GE(versions().size(), 1u);
  const std::pair<const char*, Apply> loops[] = {
      {"rectifier", [](const TileLoops& L, Pairs& p) { L.rectifier(p.segment(), 1); }},
      {"rectifier", [](const TileLoops& L, Pairs& p) { L.rectifier(p.segment(), 2); }},
      {"dense", [](const TileLoops& L, Pairs& p) { L.dense(p.segment()); }},
      {"dense_bias",
       [](const TileLoops& L, Pairs& p) {
         L.dense_bias(p.segment(), {p.one.data(), 0.6}, {p.two.data(), 0.8});
       }},
      {"erf",
       [](const TileLoops& L, Pairs& p) {
         L.erf(p.segment(), {p.one.data(), 0.6}, {p.two.data(), 0.8}, {p.one.data(), 0.9});
       }},
      {"gelu",
       [](const TileLoops& L, Pairs& p) {
         L.gelu(p.segment(), {p.one.data(), 0.6}, {p.two.data(), 0.8}, {p.one.data(), 0.9});
       }},
      {"sin",
       [](const TileLoops& L, Pairs& p) {
         L.sin(p.segment(), {p.one.data(), 0.6}, {p.two.data(), 0.8}, 0.4);
       }},
      {"join", [](const TileLoops& L, Pairs& p) {
         Pairs branch = p;
         L.rectifier(branch.segment(), 1);
         const Factor one{p.one.data(), 0.6}, two{p.two.data(), 0.8};
         L.join(p.segment(), branch.segment(), {one, two, one, one, one, one, one});
         L.join_means(p.segment(), branch.segment(), {one, two, one, two, one, two, one});
       }}};
  for (const std::int64_t n : {1, 7, 8, 31, 33, 300})
    for (const auto& [name, apply] : loops) {
      Pairs expected(n);
      apply(baseline::loops, expected);
      for (const TileLoops* L : versions()) {
        Pairs p(n);
        apply(*L, p);
        for (std::int64_t i = 0; i < n; ++i) {
          EXPECT_NEAR(p.c[i], expected.c[i], 4e-15) << name << " " << L->name;
          EXPECT_NEAR(std::sqrt(p.sigma[i]), std::sqrt(expected.sigma[i]), 1e-7)
              << name << " " << L->name;
          EXPECT_NEAR(p.tau[i], expected.tau[i], 1e-14) << name << " " << L->name;
        }
      }
    }
}

TEST(TileLoops, TheRectifierIsRightToRoundingAtEveryAngle) {
  // NTK of one layer in long double, down to angles of 1e-9, where sigma' = theta^2 to leading
  // order.
  for (const TileLoops* L : versions())
    for (int e = 0; e <= 360; ++e)
      for (const double kappa : {1.0, 0.5, 2.0}) {
        const long double theta = 3.14159265358979323846L * std::pow(10.0L, -e / 40.0L);
        double c = static_cast<double>(std::cos(theta)), tau = 1;
        double sigma = static_cast<double>(std::sin(theta) * std::sin(theta));
        L->rectifier({1, &c, &sigma, &tau}, kappa);
        const long double pi = 3.14159265358979323846264L;
        EXPECT_NEAR(tau, static_cast<double>(1 - kappa * theta / pi), 5e-16);
        const long double rise = theta < 1e-4L
                                     ? theta * theta * theta / 3 * (1 - theta * theta / 10)
                                     : std::sin(theta) - theta * std::cos(theta);
        const long double half = std::sin(theta / 2);
        const long double minus = 2 * half * half - kappa * rise / pi;
        EXPECT_NEAR(c, static_cast<double>(1 - minus), 5e-16);
        const double sine = static_cast<double>(std::sqrt(minus * (2 - minus)));
        EXPECT_NEAR(std::sqrt(sigma), sine, 2e-15) << static_cast<double>(theta);
      }
}

}  // namespace
}  // namespace kernel
}  // namespace mercer
