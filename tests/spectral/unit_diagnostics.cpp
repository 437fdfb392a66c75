// Condition, effective rank, laws of decay and steps of descent, on spectra given as formulas.
#include <gtest/gtest.h>

#include <cmath>

#include "mercer/base/random.hpp"
#include "mercer/spectral/diagnostics.hpp"
#include "support/errors.hpp"

namespace mercer::spectral {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class F>
std::vector<double> spectrum(Index k, F&& f) {
  std::vector<double> lambda;
  for (Index i = 1; i <= k; ++i) lambda.push_back(f(static_cast<double>(i)));
  return lambda;
}
Decay fitted(const std::vector<double>& lambda, Index n, double equal = 0) {
  std::string why;
  const auto decay = fit_decay(lambda, spaces(lambda, equal), n, 1e-13, why);
  EXPECT_TRUE(decay.has_value()) << why;
  return decay.value_or(Decay{});
}
const LawFit& best(const Decay& decay) {
  return decay.fits.at(decay.best);
}

TEST(Conditions, AreRatiosOfTheFirstAndTheLastEigenvalue) {
  const std::vector<double> lambda{8, 4, 2};
  const auto whole = condition(lambda, 3, 1e-12), part = condition(lambda, 9, 1e-12);
  EXPECT_EQ(whole.value, 4);
  EXPECT_TRUE(whole.whole && !whole.at_least);
  EXPECT_TRUE(!part.whole && !part.at_least);
}

TEST(Conditions, OfASingularMatrixAreLowerBounds) {
  for (const double last : {1e-14, 0.0, -1e-14}) {
    const auto lost = condition(std::vector<double>{2, last}, 2, 1e-13);
    EXPECT_TRUE(lost.at_least);
    EXPECT_NEAR(lost.value, 2 / (std::max(last, 0.0) + 2e-13), 1e-2);
  }
  EXPECT_TRUE(condition(std::vector<double>{2, std::nan("")}, 2, 1e-13).at_least);
  EXPECT_NE(test::input_error([] { condition(std::vector<double>{0, 0}, 2, 1e-13); }), "");
}

TEST(EffectiveRanks, CountRootsOfEigenvaluesAboveTheThreshold) {
  const auto lambda = spectrum(8, [](double i) { return std::pow(16, 1 - i); });  // roots 4^(1-i)
  const std::vector<double> epsilons{0.3, 0.2, 0.01, 1e-5};
  const auto ranks = effective_ranks(lambda, lambda.back(), 8, 1e-13, epsilons);
  const Index counts[] = {1, 2, 4, 8};
  ASSERT_EQ(ranks.size(), 4U);
  for (std::size_t e = 0; e < 4; ++e) {
    EXPECT_EQ(ranks[e].count, counts[e]);
    EXPECT_FALSE(ranks[e].at_least);
    EXPECT_TRUE(ranks[e].resolved);
  }
}

TEST(EffectiveRanks, OfTheTopPairsAloneAreBoundsWhereTheNextOneIsAboveToo) {
  const auto lambda = spectrum(3, [](double i) { return std::pow(16, 1 - i); });
  const std::vector<double> epsilons{0.06, 0.03, 0.01, 1e-8};
  const auto ranks = effective_ranks(lambda, std::pow(16.0, -3), 8, 1e-13, epsilons);
  ASSERT_EQ(ranks.size(), 4U);
  EXPECT_EQ(ranks[1].count, 3);
  EXPECT_FALSE(ranks[0].at_least || ranks[1].at_least);  // lambda_4^(1/2) = 1/64
  EXPECT_TRUE(ranks[2].at_least && ranks[3].at_least);
  EXPECT_FALSE(ranks[3].resolved);
  EXPECT_TRUE(effective_ranks(lambda, std::nan(""), 8, 1e-13, epsilons)[1].at_least);
}

TEST(EffectiveRanks, HaveThresholdsAsFarAsTheyAreResolved) {
  const auto lambda = spectrum(100, [](double i) { return std::pow(0.5, i); });
  const auto ranks = effective_ranks(lambda, lambda.back(), 100, 1e-9, {});
  ASSERT_EQ(ranks.size(), 4U);  // 1e-4^2 is above 1e-9, 1e-5^2 is not
  EXPECT_NEAR(ranks.back().epsilon, 1e-4, 1e-18);
  const auto flat = effective_ranks(std::vector<double>{1, 1}, 1, 2, 1e-9, {});
  EXPECT_EQ(flat.size(), 1U);  // all are above the first one
  for (const double wrong : {0.0, 1.0, -0.1, std::nan("")})
    EXPECT_NE(test::input_error(
                  [&] { effective_ranks(lambda, 0, 100, 1e-9, std::vector<double>{wrong}); }),
              "");
}

TEST(Decays, FindExactLaws) {
  const Index n = 400;
  const auto expect = [&](Law law, double C, double exponent, auto&& f) {
    const auto decay = fitted(spectrum(n, f), n);
    const auto& fit = best(decay);
    EXPECT_EQ(fit.law, law);
    // Logarithms below 40 have errors of 40 eps, the least squares a condition of about ten.
    EXPECT_NEAR(fit.exponent / exponent, 1, 1e-12);
    EXPECT_NEAR(fit.C / C, 1, 1e-12);
    EXPECT_LT(fit.error, 1e-12);
    EXPECT_LT(fit.residual, 1e-12);
    EXPECT_EQ(decay.first, 10);
    EXPECT_EQ(decay.last, 100);
    EXPECT_NEAR(fit.at(50) / f(50.0), 1, 1e-11);
    for (const auto& other : decay.fits)
      if (other.law != law) {
        EXPECT_GT(other.residual, 0.1);
      }
  };
  expect(Law::power, 3, 1.5, [](double i) { return 3 * std::pow(i, -1.5); });
  expect(Law::root_exponential, 0.2, 1.2,
         [](double i) { return 0.2 * std::exp(-1.2 * std::sqrt(i)); });
  expect(Law::exponential, 7, 0.15, [](double i) { return 7 * std::exp(-0.15 * i); });
}

TEST(Decays, StopAboveRounding) {
  const Index n = 4000;
  const auto decay = fitted(spectrum(n, [](double i) { return std::exp(-0.1 * (i - 1)); }), n);
  EXPECT_EQ(best(decay).law, Law::exponential);
  EXPECT_LE(decay.last, 1 + std::log(1e11) / 0.1);  // above 100 1e-13
  EXPECT_GT(decay.last, std::log(1e11) / 0.1 - 1);
}

/// Spaces of `size` equal eigenvalues, whose logarithm is the mean of a power law's over them.
std::vector<double> staircase(Index k, Index size, double a) {
  std::vector<double> lambda;
  for (Index first = 1; first <= k; first += size) {
    double mean = 0;
    for (Index i = first; i < first + size; ++i)
      mean -= a * std::log(static_cast<double>(i)) / static_cast<double>(size);
    for (Index i = first; i < first + size; ++i) lambda.push_back(std::exp(mean));
  }
  return lambda;
}

TEST(Decays, NeverDivideASpace) {
  for (const Index size : {2, 3, 7}) {
    const auto decay = fitted(staircase(420, size, 1.4), 420, 1e-12);
    // Exact only where every point is made of whole spaces.
    EXPECT_NEAR(best(decay).exponent, 1.4, 1e-11) << size;
    EXPECT_LT(best(decay).residual, 1e-11) << size;
    EXPECT_EQ((decay.first - 1) % size, 0) << size;
    EXPECT_EQ(decay.last % size, 0) << size;
    EXPECT_GE(decay.first, 10);
    EXPECT_LE(decay.last, 105);
  }
}

TEST(Decays, HaveErrorsThatCountASpaceOnce) {
  // One draw of noise for each space of four. Within two standard errors lie 91 of 100 fits; with
  // the errors of independent eigenvalues, half as large, it would be two thirds.
  constexpr Index kTrials = 400, kSize = 4;
  Index inside = 0;
  for (Index trial = 0; trial < kTrials; ++trial) {
    const Random random(5, Stream::test, static_cast<std::uint32_t>(trial));
    auto lambda = staircase(1000, kSize, 1.5);
    for (std::size_t i = 0; i < lambda.size(); ++i)
      lambda[i] *= std::exp(0.02 * random.normal(i / kSize));
    std::vector<Space> all;
    for (Index first = 0; first < 1000; first += kSize) all.push_back({first, kSize});
    std::string why;
    const auto decay = fit_decay(lambda, all, 1000, 1e-13, why);
    ASSERT_TRUE(decay.has_value()) << why;
    const auto& power = decay->fits.front();
    inside += std::abs(power.exponent - 1.5) <= 2 * power.error ? 1 : 0;
  }
  EXPECT_GE(inside, 340);
  EXPECT_LE(inside, 390);
}

TEST(Decays, AreNotFittedToTooFewPoints) {
  const auto none = [](const std::vector<double>& lambda, Index n) {
    std::string why;
    EXPECT_FALSE(fit_decay(lambda, spaces(lambda, 1e-12), n, 1e-13, why).has_value());
    test::expect_words(why, {"no law"});
  };
  none(spectrum(13, [](double i) { return 1 / i; }), 1000);
  none(spectrum(40, [](double i) { return 1 / i; }), 40);               // n/4 = 10
  none(spectrum(400, [](double) { return 1.0; }), 400);                 // one space
  none(spectrum(400, [](double i) { return std::exp(-4 * i); }), 400);  // rounding
  none(spectrum(400, [](double i) { return i < 5 ? 1 / i : std::nan(""); }), 400);
}

TEST(DescentSteps, AreThoseOfTheRecursion) {
  const double rate = 0.5;
  for (const double lambda : {1.9, 1.0, 0.3, 1e-3}) {
    const double steps = descent_steps(lambda, rate, 10);
    const Index whole = static_cast<Index>(std::ceil(steps - 1e-9));
    double r = 1;
    for (Index t = 0; t < whole; ++t) r *= 1 - rate * lambda;
    EXPECT_LE(std::abs(r), 0.1 * (1 + 1e-12)) << lambda;
    if (whole > 1) {
      EXPECT_GT(std::abs(r / (1 - rate * lambda)), 0.1) << lambda;
    }
  }
  EXPECT_EQ(descent_steps(2, rate, 10), 1);  // gone in one
  EXPECT_NEAR(descent_steps(1e-12, 1, 10) / (std::log(10) * 1e12), 1, 1e-11);
  EXPECT_GT(descent_steps(3.9, rate, 10), descent_steps(2.1, rate, 10));  // beyond 1/rate, slower
  for (const double lambda : {4.0, 5.0, 0.0, -1e-15, std::nan("")})
    EXPECT_EQ(descent_steps(lambda, rate, 10), kInfinity);
}

}  // namespace
}  // namespace mercer::spectral
