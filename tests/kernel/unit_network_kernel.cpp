#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mercer/base/random.hpp"
#include "mercer/kernel/kernel.hpp"
#include "support/naive_kernel.hpp"

namespace mercer {
namespace {

using kernel::Kind;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Matrix<double> random_rows(Index d, Index m, std::uint64_t seed, double scale = 1) {
  Matrix<double> X(d, m);
  const Random random(seed, Stream::test);
  for (Index k = 0; k < X.size(); ++k)
    X.data()[k] = scale * random.normal(static_cast<std::uint64_t>(k));
  return X;
}

std::shared_ptr<const kernel::Kernel> network(Kind kind, const std::string& text,
                                              double weight = 1.3, double bias = 0.2) {
  arch::Options options;
  options.weight_std = weight;
  options.bias_std = bias;
  return kernel::make({kind, arch::parse(text, options), 1});
}

Matrix<double> full(const kernel::Kernel& k, const Matrix<double>& X) {
  const auto rows = k.prepare(X.copy());
  Matrix<double> out(X.cols(), X.cols(), kNan);
  k.tile(*rows, 0, *rows, 0, out.view());
  return out;
}

/// Largest error of all pairs relative to sqrt(k_ii k_jj), against the long double recursion.
double error_against_naive(const std::string& text, const Matrix<double>& X, double weight = 1.3,
                           double bias = 0.2) {
  double largest = 0;
  Index compared = 0;
  for (const Kind kind : {Kind::nngp, Kind::ntk}) {
    const auto k = network(kind, text, weight, bias);
    arch::Options options;
    options.weight_std = weight;
    options.bias_std = bias;
    const auto net = arch::parse(text, options);
    const auto rows = k->prepare(X.copy());
    Matrix<double> out(X.cols(), X.cols(), kNan);
    k->tile(*rows, 0, *rows, 0, out.view());
    std::vector<double> diagonal(X.cols(), kNan);
    k->diagonal(*rows, 0, X.cols(), diagonal.data());
    for (Index i = 0; i < X.cols(); ++i)
      for (Index j = 0; j <= i; ++j) {
        const auto d = static_cast<std::size_t>(X.rows());
        const test::NaiveState s = test::naive_kernel(net, {X.column(i), d}, {X.column(j), d});
        const bool ntk = kind == Kind::ntk;
        const double exact = static_cast<double>(ntk ? s.T : s.K);
        const double scale = static_cast<double>(std::sqrt(ntk ? s.T11 * s.T22 : s.q1 * s.q2));
        const double error = std::fabs(out(i, j) - exact) / scale;
        if (!(error <= largest)) largest = error;
        if (i == j) {
          const double own = std::fabs(diagonal[i] - exact) / scale;
          if (!(own <= largest)) largest = own;
        }
        ++compared;
      }
  }
  EXPECT_EQ(compared, X.cols() * (X.cols() + 1));
  return largest;
}

TEST(NaiveDual, QuadratureAgreesWithTheClosedForms) {
  for (const char* token : {"erf(0.8,1.7)", "gelu", "sin(1.3,0.7,0.4)", "erf", "sin(1,1,0)"}) {
    const auto rho = std::get<arch::Activation>(
        arch::parse(fmt::format("dense {} dense", token)).layers[1].what);
    for (const double K : {-0.9, 0.0, 0.4, 1.1}) {
      const auto a = test::naive_dual(rho, 1.3, K, 1.7);
      const auto b = test::quadrature_dual(rho, 1.3, K, 1.7);
      EXPECT_TRUE(std::fabs(static_cast<double>(a.k - b.k)) <= 1e-13) << token;
      EXPECT_TRUE(std::fabs(static_cast<double>(a.kdot - b.kdot)) <= 1e-13) << token;
    }
  }
}

class AnyArchitecture : public testing::TestWithParam<const char*> {};

TEST_P(AnyArchitecture, EqualsTheTextbookRecursion) {
  const double biased = error_against_naive(GetParam(), random_rows(7, 12, 1));
  const double plain = error_against_naive(GetParam(), random_rows(7, 6, 2), 1.1, 0);
  EXPECT_TRUE(biased <= 1e-13) << biased;
  EXPECT_TRUE(plain <= 1e-13) << plain;
}

INSTANTIATE_TEST_SUITE_P(
    ClosedForms, AnyArchitecture,
    testing::Values(
        "dense", "dense dense dense", "dense relu dense relu dense relu dense relu dense",
        "dense leaky_relu(-0.3) dense abrelu(1,-1) dense", "dense abrelu(-2,0.5) dense",
        "dense erf dense erf(0.8,1.7) dense", "dense gelu dense gelu dense",
        "dense sin(1.3,0.7,0.4) dense sin(1,2,0) dense",
        "dense erf dense relu dense gelu dense relu dense sin(1,1,0.3) dense relu dense",
        "dense res(relu dense) res(relu dense erf dense) relu dense",
        "dense res(relu dense res(erf dense) relu dense) gelu dense",
        "dense relu res(dense relu) dense", "dense relu dense(fixed)", "dense(fixed) gelu dense",
        "dense relu dense(fixed) erf dense res(dense(fixed) relu dense) relu dense(fixed)",
        "dense relu res(dense gelu) res(dense relu) dense relu dense",
        "dense relu res(dense erf) dense relu dense",
        "dense sin(1,1,0.5) res(dense abrelu(1,-0.5) res(dense relu)) dense relu dense"));

TEST(NetworkKernel, TanhSoftplusAndSigmoidEqualTwoDimensionalQuadratureAtAnyVariance) {
  for (const char* rho : {"tanh", "softplus", "sigmoid"})
    for (const double variance : {0.01, 1.0, 4.0, 100.0}) {
      // one dense without bias: q = weight^2 |x|^2/d
      auto X = random_rows(3, variance > 50 ? 2 : 5, 3);
      for (Index j = 0; j < X.cols(); ++j) {
        double sum = 0;
        for (Index k = 0; k < 3; ++k) sum += X(k, j) * X(k, j);
        const double wanted = variance * (j == 1 ? 0.3 : 1) * 3;
        for (Index k = 0; k < 3; ++k) X(k, j) *= std::sqrt(wanted / sum);
      }
      const double error = error_against_naive(fmt::format("dense {} dense", rho), X, 1, 0);
      EXPECT_TRUE(error <= 1e-12) << rho << " at variance " << variance << ": " << error;
      const auto k = network(Kind::ntk, fmt::format("dense {} dense", rho), 1, 0);
      EXPECT_TRUE(k->prepare(X.copy())->error_estimate() <= 1e-12);
    }
}

TEST(NetworkKernel, SeriesAreRightForZeroAndTinyRows) {
  auto X = random_rows(3, 4, 31);
  for (Index k = 0; k < 3; ++k) {
    X(k, 1) = 0;
    X(k, 2) *= 1e-9;
  }
  for (const char* text : {"dense tanh dense", "dense softplus dense sigmoid dense",
                           "dense sigmoid res(dense softplus) dense tanh dense"})
    for (const double bias : {0.0, 0.2}) {
      if (bias == 0 && std::string(text).find("soft") == std::string::npos) {
        const auto out = full(*network(Kind::ntk, text, 1.1, 0), X);
        for (Index i = 0; i < 4; ++i) EXPECT_EQ(out(i, 1), 0);
        continue;  // the twin would divide by the zero diagonal
      }
      const double error = error_against_naive(text, X, 1.1, bias);
      EXPECT_TRUE(error <= 1e-12) << text << " " << bias << " " << error;
    }
}

TEST(NetworkKernel, SeriesOfRowsPreparedApartAtVeryDifferentVariancesAgree) {
  const auto small = random_rows(3, 3, 4, 0.05), large = random_rows(3, 2, 5, 3);
  for (const char* rho : {"tanh", "softplus", "sigmoid"}) {
    const auto k = network(Kind::ntk, fmt::format("dense {} dense", rho));
    arch::Options options{1.3, false, 0.2};
    const auto net = arch::parse(fmt::format("dense {} dense", rho), options);
    const auto x = k->prepare(small.copy()), z = k->prepare(large.copy());
    Matrix<double> out(3, 2, kNan);
    k->tile(*x, 0, *z, 0, out.view());
    for (Index i = 0; i < 3; ++i)
      for (Index j = 0; j < 2; ++j) {
        const auto s = test::naive_kernel(net, {small.column(i), 3}, {large.column(j), 3});
        const double error =
            static_cast<double>(std::fabs(out(i, j) - s.T) / std::sqrt(s.T11 * s.T22));
        EXPECT_TRUE(error <= 1e-12) << rho << " " << error;
      }
  }
}

TEST(NetworkKernel, SaysHowFarASeriesThatWasCutOffIsFromTheKernel) {
  const auto X = random_rows(3, 3, 6, 1000);
  const auto k = network(Kind::nngp, "dense tanh dense", 1, 0);
  const auto rows = k->prepare(X.copy());
  const double estimate = rows->error_estimate();
  EXPECT_GT(estimate, 1e-8);
  EXPECT_LT(estimate, 0.1);
  // At this variance tanh is the sign function to 1e-3, whose dual is 2/pi asin(c).
  Matrix<double> out(3, 3, kNan);
  k->tile(*rows, 0, *rows, 0, out.view());
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 3; ++j) {
      double dot = 0, a = 0, b = 0;
      for (Index r = 0; r < 3; ++r) {
        dot += X(r, i) * X(r, j);
        a += X(r, i) * X(r, i);
        b += X(r, j) * X(r, j);
      }
      const double c = i == j ? 1 : dot / std::sqrt(a * b);
      EXPECT_NEAR(out(i, j), 2 / std::numbers::pi * std::asin(c), estimate + 5e-3);
    }
}

TEST(NetworkKernel, NearlyParallelRowsKeepTwelveDigitsThroughAnyActivation) {
  // The long double twin resolves angles down to about 1e-6 to this tolerance.
  for (const char* text :
       {"dense relu dense relu dense relu dense", "dense erf dense relu dense",
        "dense gelu dense relu dense", "dense sin(1,1,0.4) dense relu dense",
        "dense erf dense gelu dense relu dense relu dense",
        "dense relu res(dense relu) dense relu dense", "dense erf res(dense erf) dense relu dense",
        // Even, nearly even and nearly odd.
        "dense sin(1,1,1.5707963267948966) dense relu dense",
        "dense sin(1,1,1.57) dense relu dense", "dense sin(1,1,1e-4) dense relu dense"}) {
    auto X = random_rows(5, 8, 7);
    for (Index j = 1; j < 8; ++j)
      for (Index k = 0; k < 5; ++k)
        X(k, j) =
            (j % 2 ? 1 : -1) * (X(k, 0) * (j > 5 ? 1.5 : 1) +
                                std::pow(10.0, -std::fmin(5, static_cast<double>(j))) * X(k, j));
    for (const double bias : {0.0, 0.3})
      EXPECT_TRUE(error_against_naive(text, X, 1.2, bias) <= 1e-12)
          << text << " " << error_against_naive(text, X, 1.2, bias);
  }
}

TEST(NetworkKernel, NearlyAntiparallelRowsThroughEvenWavesAreRight) {
  // Wide weights: the waves turn many times within a row's standard deviation.
  Matrix<double> X(2, 4);
  const double angle = 1e-5;
  X(0, 0) = 1, X(1, 0) = 0;
  X(0, 1) = -std::cos(angle), X(1, 1) = -std::sin(angle);
  X(0, 2) = -1.0001, X(1, 2) = 0;
  X(0, 3) = 0.3, X(1, 3) = 2;
  for (const char* text :
       {"dense sin(1,1,1.5707963267948966) dense relu dense",
        "dense sin(1,1,1.57) dense relu dense", "dense sin(1,1,0) dense relu dense"})
    for (const double weight_std : {1.2, 5.0, 20.0}) {
      const double error = error_against_naive(text, X, weight_std, 0);
      EXPECT_TRUE(error <= 1e-12) << text << " " << weight_std << " " << error;
    }
}

TEST(NetworkKernel, LongRowsAtEverySmallAngleKeepTwelveDigits) {
  auto X = random_rows(784, 12, 17);
  for (Index j = 1; j < 12; ++j)
    for (Index k = 0; k < 784; ++k)
      X(k, j) = X(k, 0) + std::pow(10.0, -0.4 * static_cast<double>(j)) * X(k, j);
  const double error = error_against_naive("dense relu dense relu dense relu dense", X, 1.4, 0);
  EXPECT_TRUE(error <= 1e-13) << error;
  RecordProperty("error", fmt::format("{:.2e}", error));
}

TEST(NetworkKernel, TinyRowsThatBiasesMakeNearlyParallelKeepTwelveDigits) {
  auto X = random_rows(5, 6, 8, 1e-4);
  for (const char* text :
       {"dense relu dense relu dense", "dense erf dense relu dense relu dense",
        "dense gelu dense relu dense", "dense relu res(dense relu) dense relu dense"})
    EXPECT_TRUE(error_against_naive(text, X, 1.2, 0.5) <= 1e-12)
        << text << " " << error_against_naive(text, X, 1.2, 0.5);
}

TEST(NetworkKernel, EqualRowsGiveTheDiagonalAndZeroRowsZero) {
  for (const char* text :
       {"dense relu dense relu dense", "dense erf dense relu dense", "dense tanh dense relu dense",
        "dense softplus dense relu dense", "dense relu res(dense relu) dense relu dense"}) {
    auto X = random_rows(6, 5, 9);
    for (Index k = 0; k < 6; ++k) {
      X(k, 3) = X(k, 1);
      X(k, 4) = 0;
    }
    const auto kernel = network(Kind::ntk, text, 1.4, 0);
    const auto rows = kernel->prepare(X.copy());
    const auto out = full(*kernel, X);
    double diagonal[5];
    kernel->diagonal(*rows, 0, 5, diagonal);
    for (Index i = 0; i < 4; ++i) EXPECT_NEAR(out(i, i), diagonal[i], 1e-13 * diagonal[i]) << text;
    EXPECT_NEAR(out(1, 3), diagonal[1], 1e-13 * diagonal[1]) << text;
    if (std::string(text).find("softplus") != std::string::npos) continue;  // rho(0) is not 0
    for (Index i = 0; i < 5; ++i) EXPECT_EQ(out(i, 4), 0) << text;
  }
}

TEST(NetworkKernel, IsHomogeneousOverThreeHundredOrdersOfMagnitude) {
  const auto X = random_rows(4, 6, 10);
  const auto kernel = network(Kind::ntk, "dense relu dense leaky_relu(0.1) dense", 1.4, 0);
  const auto expected = full(*kernel, X);
  for (const double scale : {1e-150, 1e150}) {
    const auto out = full(*kernel, random_rows(4, 6, 10, scale));
    for (Index i = 0; i < 6; ++i)
      for (Index j = 0; j < 6; ++j)
        EXPECT_NEAR(out(i, j) / scale / scale, expected(i, j),
                    1e-13 * std::sqrt(expected(i, i) * expected(j, j)));
  }
  for (const char* text : {"dense erf dense", "dense gelu dense", "dense sin(1,1,0) dense",
                           "dense softplus dense relu dense", "dense tanh dense"})
    for (const double scale : {1e-150, 1e-8, 1e150}) {
      const auto out = full(*network(Kind::ntk, text, 1.4, 0.1), random_rows(4, 6, 10, scale));
      for (Index k = 0; k < out.size(); ++k)
        EXPECT_TRUE(std::isfinite(out.data()[k])) << text << scale;
    }
}

TEST(NetworkKernel, AnEntryDoesNotDependOnItsTile) {
  for (const char* text : {"dense relu dense erf dense relu dense", "dense tanh dense",
                           "dense relu res(dense relu) dense"}) {
    const Index m = 600, n = 7;  // more rows than one segment
    const auto X = random_rows(9, m, 11), Z = random_rows(9, n, 12);
    const auto kernel = network(Kind::ntk, text);
    const auto x = kernel->prepare(X.copy()), z = kernel->prepare(Z.copy());
    Matrix<double> whole(m, n, kNan);
    kernel->tile(*x, 0, *z, 0, whole.view());
    Index compared = 0;
    for (const Index i0 : {0, 1, 37, 511, 512, 598})
      for (const Index j0 : {0, 3, 6})
        for (const Index rows : {1, 2, 31}) {
          if (i0 + rows > m) continue;
          Matrix<double> part(rows + 3, n, kNan);
          const auto tile = part.view().block(2, 0, rows, n - j0);
          kernel->tile(*x, i0, *z, j0, tile);
          for (Index j = 0; j < n; ++j)
            for (Index i = 0; i < rows + 3; ++i) {
              if (i < 2 || i == rows + 2 || j >= n - j0) {
                EXPECT_TRUE(std::isnan(part(i, j)));
                continue;
              }
              EXPECT_NEAR(part(i, j), whole(i0 + i - 2, j0 + j), 1e-13 * 30);
              ++compared;
            }
        }
    EXPECT_GT(compared, 1000);
  }
}

TEST(NetworkKernel, IsSymmetric) {
  const auto X = random_rows(9, 40, 13);
  for (const char* text : {"dense relu dense relu dense", "dense sigmoid dense relu dense"}) {
    const auto out = full(*network(Kind::ntk, text), X);
    for (Index i = 0; i < 40; ++i)
      for (Index j = 0; j < i; ++j)
        EXPECT_NEAR(out(i, j), out(j, i), 1e-14 * std::sqrt(out(i, i) * out(j, j)));
  }
}

TEST(NetworkKernel, TextLeavesWidthsOutAndPlanCountsWhatRowsHold) {
  const auto k = network(Kind::ntk, "dense(64) res(relu dense(64)) relu dense(1)", 1.5, 0.1);
  EXPECT_EQ(k->text(), "ntk(dense res(relu dense) relu dense; weight_std=1.5; bias_std=0.1)");
  const auto X = random_rows(30, 100, 14);
  const auto rows = k->prepare(X.copy());
  EXPECT_EQ(rows->size(), 100);
  EXPECT_EQ(rows->bytes(), 100 * k->bytes_per_row(30));
  EXPECT_EQ(rows->error_estimate(), 0);
}

TEST(NetworkKernel, EmptyTilesAndEmptyDataAreFine) {
  const auto k = network(Kind::ntk, "dense tanh dense relu dense");
  const Matrix<double> none(4, 0);
  const auto rows = k->prepare(none.copy());
  EXPECT_EQ(rows->size(), 0);
  Matrix<double> out(0, 0);
  k->tile(*rows, 0, *rows, 0, out.view());
}

}  // namespace
}  // namespace mercer
