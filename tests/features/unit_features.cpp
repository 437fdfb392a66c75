#include <gtest/gtest.h>

#include <cmath>

#include "mercer/blas/blas.hpp"
#include "mercer/features/features.hpp"
#include "support/errors.hpp"

namespace mercer::features {
namespace {

constexpr Index kInputs = 5, kRows = 6;

/// Rows without a pattern; the last two are the same but for a small change.
Matrix<double> rows() {
  Matrix<double> X(kInputs, kRows);
  for (Index j = 0; j < kRows; ++j)
    for (Index i = 0; i < kInputs; ++i)
      X(i, j) = std::sin(static_cast<double>(3 * i + 7 * std::min<Index>(j, kRows - 2) + 1)) +
                (j == kRows - 1 ? 1e-3 : 0.0);
  return X;
}

FeatureSpec spec_of(Family family, Index count) {
  FeatureSpec spec{.family = family, .dimension = kInputs, .count = count};
  if (family == Family::deep_ntk)
    spec.architecture = arch::parse("dense relu dense leaky_relu(0.3) dense", {.bias_std = 0.4});
  return spec;
}

/// psi(x)^T psi(z) of all pairs of rows.
Matrix<double> gram(const FeatureSpec& spec, const Matrix<double>& X) {
  const Features<double> features(spec);
  Matrix<double> psi(features.columns(), X.cols()), K(X.cols(), X.cols());
  features.evaluate(X.view(), psi.view());
  const Matrix<double>& P = psi;
  blas::gemm<double>(blas::Trans::yes, blas::Trans::no, 1, P.view(), P.view(), 0, K.view());
  return K;
}

Matrix<double> kernel_of(const FeatureSpec& spec, const Matrix<double>& X) {
  const auto kernel = spec.kernel();
  const auto prepared = kernel->prepare(X.copy());
  Matrix<double> K(X.cols(), X.cols());
  kernel->tile(*prepared, 0, *prepared, 0, K.view());
  return K;
}

/// The mean over seeds of psi^T psi lies within 4.5 of its standard errors of k, plus `bias`.
void expect_mean(FeatureSpec spec, Index seeds, double bias) {
  SCOPED_TRACE(spec.text());
  const auto X = rows();
  const auto K = kernel_of(spec, X);
  Matrix<double> sum(kRows, kRows, 0.0), square(kRows, kRows, 0.0);
  for (Index seed = 0; seed < seeds; ++seed) {
    spec.seed = static_cast<std::uint64_t>(seed);
    const auto estimate = gram(spec, X);
    for (Index i = 0; i < K.size(); ++i) {
      sum.data()[i] += estimate.data()[i];
      square.data()[i] += estimate.data()[i] * estimate.data()[i];
    }
  }
  const auto S = static_cast<double>(seeds);
  for (Index i = 0; i < kRows; ++i)
    for (Index j = 0; j < kRows; ++j) {
      const double mean = sum(i, j) / S;
      const double error = std::sqrt(std::max(0.0, square(i, j) / S - mean * mean) / (S - 1));
      const double size = std::sqrt(K(i, i) * K(j, j));
      EXPECT_LE(std::abs(mean - K(i, j)), 4.5 * error + bias * size + 1e-12)
          << i << ", " << j << ": " << mean << " +- " << error << " for " << K(i, j);
      EXPECT_LE(error, 0.1 * size);  // else the mean says nothing
    }
}

TEST(Features, HaveTheKernelAsTheirMean) {
  expect_mean(spec_of(Family::rff, 40), 400, 0);
  auto laplace = spec_of(Family::rff, 40);
  laplace.laplace = true;
  laplace.bandwidth = 1.7;
  expect_mean(laplace, 400, 0);
  expect_mean(spec_of(Family::ntk, 40), 400, 0);
  expect_mean(spec_of(Family::arccos, 40), 400, 0);
}

TEST(Features, OfADeepNtkHaveItAsTheirMeanUpToTheWidthsInverse) {
  auto shallow = spec_of(Family::deep_ntk, 40);
  shallow.architecture = arch::parse("dense abrelu(-0.2,1) dense", {.bias_std = 0.3});
  expect_mean(shallow, 400, 0);  // one hidden layer: no bias
  shallow.architecture = shallow.architecture.first_trained();
  expect_mean(shallow, 400, 0);
  expect_mean(spec_of(Family::deep_ntk, 600), 60, 3e-3);
  auto last = spec_of(Family::deep_ntk, 600);
  last.architecture = arch::parse("dense(8,fixed) relu dense(8,fixed) relu dense(1)", {});
  expect_mean(last, 60, 3e-3);
}

TEST(Features, OfFixedDrawsAreTheFormula) {
  const auto X = rows();
  for (const Family family : {Family::rff, Family::ntk, Family::arccos}) {
    // A draw alone, weighted, is that draw of a larger set.
    auto all = spec_of(family, 30);
    all.seed = 3;
    auto some = all;
    some.count = 3 * all.length();
    some.chosen = {2, 0, 2};
    some.factors = {1, 0.5, 2};
    const Features<double> of_all(all), of_some(some);
    Matrix<double> psi(of_all.columns(), kRows), part(of_some.columns(), kRows);
    of_all.evaluate(X.view(), psi.view());
    of_some.evaluate(X.view(), part.view());
    const double ratio = std::sqrt(static_cast<double>(all.draws()) / 3);
    for (Index j = 0; j < kRows; ++j)
      for (Index r = 0; r < 3; ++r)
        for (Index l = 0; l < all.length(); ++l)
          EXPECT_NEAR(
              part(some.first(r) + l * some.stride(), j),
              ratio * some.factors[static_cast<std::size_t>(r)] *
                  psi(all.first(some.chosen[static_cast<std::size_t>(r)]) + l * all.stride(), j),
              1e-13);
  }
}

TEST(Features, InSinglePrecisionAreThoseOfDouble) {
  const auto X = rows();
  Matrix<float> x(kInputs, kRows);
  for (Index i = 0; i < X.size(); ++i) x.data()[i] = static_cast<float>(X.data()[i]);
  for (const Family family : {Family::rff, Family::ntk, Family::arccos, Family::deep_ntk}) {
    const auto spec = spec_of(family, 30);
    const Features<double> in_double(spec);
    const Features<float> in_single(spec);
    Matrix<double> psi(spec.columns(), kRows);
    Matrix<float> single(spec.columns(), kRows);
    in_double.evaluate(X.view(), psi.view());
    in_single.evaluate(x.view(), single.view());
    for (Index i = 0; i < psi.size(); ++i) EXPECT_NEAR(single.data()[i], psi.data()[i], 1e-5);
  }
}

TEST(FeatureSpec, CountsColumnsAndSaysHowManyDraws) {
  auto spec = spec_of(Family::ntk, 4096);
  spec.dimension = 90;
  EXPECT_EQ(spec.draws(), 45);
  EXPECT_EQ(spec.columns(), 4050);
  EXPECT_EQ(spec_of(Family::rff, 7).columns(), 6);
}

TEST(FeatureSpec, RefusesWhatCannotBe) {
  const auto refused = [](FeatureSpec spec, const std::string& words) {
    test::expect_words(test::input_error([&] { spec.validate(); }), {words});
  };
  refused(spec_of(Family::ntk, 4), "`count` 4: give at least 5");
  refused(spec_of(Family::rff, 1), "`count` 1");
  auto spec = spec_of(Family::rff, 8);
  spec.bandwidth = 0;
  refused(spec, "`bandwidth` 0");
  spec = spec_of(Family::deep_ntk, 8);
  spec.architecture = arch::parse("dense tanh dense", {});
  refused(spec, "'tanh'");
  spec = spec_of(Family::arccos, 3);
  spec.factors = {1, 2, std::nan("")};
  refused(spec, "factor");
  test::expect_words(test::input_error([] { parse_family("fourier"); }),
                     {"`features` fourier: give one of rff, ntk, arccos, deep-ntk"});
}

}  // namespace
}  // namespace mercer::features
