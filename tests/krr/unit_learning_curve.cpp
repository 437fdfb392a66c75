// Learning curves by theory: closed forms, and random features by brute force.
#include "mercer/krr/learning_curve.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"

namespace mercer::krr {
namespace {

using test::Dense;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(EffectiveRidge, OfEqualEigenvaluesSolvesAQuadraticEquation) {
  int compared = 0;
  for (const double p : {3.0, 50.0, 1000.0})
    for (const double n : {10.0, 50.0, 300.0})
      for (const double gamma : {1e-8, 1e-2, 7.0})
        for (const double g : {1e-6, 0.3, 40.0}) {
          const std::vector<double> spectrum(static_cast<std::size_t>(p), g);
          // kappa^2 + b kappa - gamma g = 0, by the root that does not cancel
          const double b = g - gamma - p * g / n, root = std::sqrt(b * b + 4 * gamma * g);
          const double exact = b > 0 ? 2 * gamma * g / (b + root) : (root - b) / 2;
          // Where kappa is near 0 its condition, d log kappa/d log left side, is n/|n - p| at most.
          const double accuracy = 1e-13 * (p == n ? 1e6 : n / std::abs(n - p) + 1);
          EXPECT_NEAR(effective_ridge(spectrum, n, gamma) / exact, 1, accuracy)
              << p << " " << n << " " << gamma << " " << g;
          ++compared;
        }
  EXPECT_EQ(compared, 81);
}

TEST(EffectiveRidge, OfNoRidgeIsPositiveWhereThereAreMoreModesThanRows) {
  const std::vector<double> g(30, 0.7);
  EXPECT_NEAR(effective_ridge(g, 20, 0), 0.7 * (30.0 / 20 - 1), 1e-13);
  EXPECT_EQ(effective_ridge(g, 30, 0), 0);
  EXPECT_EQ(effective_ridge(g, 40, 0), 0);
  EXPECT_EQ(effective_ridge(std::vector<double>(5, 0.0), 3, 0.25), 0.25);
  // As many rows as modes, no ridge: the noise diverges.
  EXPECT_TRUE(std::isinf(expected_error(g, std::vector<double>(30, 1.0), 1, 30, 0)));
}

/// p modes of g_i = i^(-3/2) and c_i^2 = i^(-2), and rows drawn from them.
struct Modes {
  static constexpr Index p = 160;
  static constexpr double noise = 0.05;
  static const std::vector<double>& g() {
    static const auto values = powers(-1.5);
    return values;
  }
  static const std::vector<double>& coefficients() {
    static const auto values = powers(-2);
    return values;
  }
  static std::vector<double> powers(double exponent) {
    std::vector<double> values;
    for (Index i = 1; i <= p; ++i) values.push_back(std::pow(static_cast<double>(i), exponent));
    return values;
  }

  Dense X, Y;  ///< n x p features of variances g, and targets sum_i c_i phi_i + noise
  Modes(Index n, std::uint64_t seed)
      : X(test::dense(n, p,
                      [&](Index i, Index a) {
                        const Random random(seed, Stream::test);
                        return std::sqrt(g()[static_cast<std::size_t>(a)]) *
                               random.normal(static_cast<std::uint64_t>(i * p + a));
                      })),
        Y(n, 1) {
    const Random random(seed, Stream::test, 1);
    for (Index i = 0; i < n; ++i) {
      Y(i, 0) = std::sqrt(noise) * random.normal(static_cast<std::uint64_t>(i));
      for (Index a = 0; a < p; ++a) Y(i, 0) += X(i, a) * weight(a);
    }
  }
  static double weight(Index a) {
    const auto at = static_cast<std::size_t>(a);
    return std::sqrt(coefficients()[at] / g()[at]);
  }
  Dense K() const {
    const Index n = X.rows();
    return test::dense(n, n, [&](Index i, Index j) {
      double sum = 0;
      for (Index a = 0; a < p; ++a) sum += X(i, a) * X(j, a);
      return sum / static_cast<double>(n);
    });
  }
  /// The error on new rows, noise included, exactly.
  double error(double gamma) const {
    const Dense alpha = test::solved(test::plus_ridge(K(), gamma), Y);
    double sum = noise;
    for (Index a = 0; a < p; ++a) {
      double w = -weight(a);
      for (Index i = 0; i < X.rows(); ++i)
        w += X(i, a) * alpha(i, 0) / static_cast<double>(X.rows());
      sum += g()[static_cast<std::size_t>(a)] * w * w;
    }
    return sum;
  }
};

/// The mean of draws 0 ... count - 1 and its standard error.
template <class F>
std::pair<double, double> mean_of(int count, F&& draw) {
  double sum = 0, squares = 0;
  for (int i = 0; i < count; ++i) {
    const double x = draw(static_cast<std::uint64_t>(i));
    sum += x;
    squares += x * x;
  }
  const double mean = sum / count;
  return {mean, std::sqrt((squares / count - mean * mean) / (count - 1))};
}

TEST(ExpectedError, IsThatOfRandomFeatures) {
  // The theory is right up to terms of order 1/n.
  for (const Index n : {30, 60})
    for (const double gamma : {1e-3, 1e-2, 0.3}) {
      const double expected = expected_error(Modes::g(), Modes::coefficients(), Modes::noise,
                                             static_cast<double>(n), gamma);
      const auto [mean, error] =
          mean_of(100, [&](std::uint64_t seed) { return Modes(n, seed).error(gamma); });
      EXPECT_NEAR(mean, expected, 4 * error + expected / static_cast<double>(n))
          << n << " " << gamma;
      EXPECT_LT(error, 0.05 * expected);
    }
}

TEST(PredictedError, OfASampleIsThatOfTheWholeSpectrum) {
  constexpr Index kSample = 80;
  for (const double gamma : {1e-3, 3e-2})
    for (const Index n : {20, 40, 80}) {
      double kappas = 0, freedoms = 0;
      constexpr int kDraws = 30;
      const auto [mean, error] = mean_of(kDraws, [&](std::uint64_t seed) {
        const Modes sample(kSample, seed);
        const auto [lambda, V] = test::jacobi(sample.K());
        std::vector<double> energy;
        for (Index i = 0; i < kSample; ++i) {
          double sum = 0;
          for (Index j = 0; j < kSample; ++j) sum += V(j, i) * sample.Y(j, 0);
          energy.push_back(sum * sum);
        }
        const auto point = predicted_error(lambda, energy, n, gamma);
        kappas += point.kappa / kDraws;
        freedoms += point.freedom_square / kDraws;
        // The equation of n rows holds for the sample's d_1.
        EXPECT_NEAR(point.kappa, gamma + point.kappa * point.freedom / static_cast<double>(n),
                    1e-12 * point.kappa);
        return point.error;
      });
      const auto size = static_cast<double>(n);
      const double expected =
          expected_error(Modes::g(), Modes::coefficients(), Modes::noise, size, gamma);
      EXPECT_NEAR(mean, expected, 4 * error + 2 * expected / kSample) << n << " " << gamma;
      const double kappa = effective_ridge(Modes::g(), size, gamma);
      EXPECT_NEAR(kappas / kappa, 1, 0.05) << n << " " << gamma;
      double square = 0;
      for (const double g : Modes::g()) square += std::pow(g / (g + kappa), 2);
      EXPECT_NEAR(freedoms / square, 1, 0.05) << n << " " << gamma;
    }
}

TEST(PredictedError, OfAllRowsIsTheGcvScore) {
  const std::vector<double> lambda{2, 0.5, 0.1, 0}, energy{3, 1, 0.4, 0.2};
  const double gamma = 0.05;
  double residual = 0, trace = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double left = gamma / (lambda[i] + gamma);
    residual += left * left * energy[i] / 4;
    trace += left / 4;
  }
  const auto point = predicted_error(lambda, energy, 4, gamma);
  EXPECT_NEAR(point.error, residual / (trace * trace), 1e-13);
  EXPECT_NEAR(point.sample_ridge, gamma, 1e-14);
  EXPECT_NEAR(point.factor, 1, 1e-12);
}

TEST(PredictedError, RefusesWhatHasNoAnswer) {
  const std::vector<double> g{1, 0.5}, zeros{0, 0}, one{1};
  EXPECT_THROW(effective_ridge(g, 0, 1), InputError);
  EXPECT_THROW(effective_ridge(g, kNaN, 1), InputError);
  EXPECT_THROW(effective_ridge(g, 1, -1), InputError);
  EXPECT_THROW(effective_ridge(g, 1, kNaN), InputError);
  EXPECT_THROW(expected_error(g, one, 0, 1, 1), InputError);
  EXPECT_THROW(predicted_error(g, g, 3, 1), InputError);
  EXPECT_THROW(predicted_error(g, g, 0, 1), InputError);
  EXPECT_THROW(predicted_error(g, one, 1, 1), InputError);
  EXPECT_THROW(predicted_error(zeros, g, 1, 1), InputError);
  EXPECT_TRUE(std::isnan(predicted_error(g, std::vector<double>{1, kNaN}, 1, 1).error));
}

}  // namespace
}  // namespace mercer::krr
