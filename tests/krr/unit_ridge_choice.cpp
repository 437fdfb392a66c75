#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/krr/fit.hpp"

namespace mercer::krr {
namespace {

constexpr std::uint64_t kSeeds = 200;

/// Errors as those of scores near a singular matrix, s times 1e-12/gamma; the smallest are useless.
std::vector<double> errors_of(const std::vector<double>& ridges) {
  std::vector<double> errors;
  for (const double ridge : ridges) errors.push_back(1e-9 + 1e-12 / ridge);
  return errors;
}

/// Scores with noise of up to their errors.
template <class F>
std::vector<double> noisy(const std::vector<double>& ridges, std::uint64_t seed, F&& score) {
  const auto errors = errors_of(ridges);
  std::vector<double> scores;
  for (std::size_t r = 0; r < ridges.size(); ++r)
    scores.push_back(score(ridges[r]) *
                     (1 + errors[r] * (2 * Random(seed, Stream::test).uniform(r) - 1)));
  return scores;
}

TEST(RidgeChoice, ScoresThatDifferByTheirErrorsAreATieForTheLargestRidge) {
  const auto ridges = ridge_grid(1);
  std::size_t moved = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto scores = noisy(ridges, seed, [](double) { return 0.3; });
    EXPECT_EQ(best_ridge(ridges, scores, errors_of(ridges)), ridges.size() - 1);
    moved += std::ranges::min_element(scores) != scores.end() - 1;
  }
  EXPECT_GT(moved, kSeeds / 2);  // the least score alone would have chosen another
}

TEST(RidgeChoice, NoiseBelowTheErrorsDoesNotMoveTheChoiceOnAPlateau) {
  // Flat below 1e-4, rising above: the score of every ridge below 1e-8 says nothing.
  const auto plateau = [](double ridge) { return 0.3 * (1 + ridge); };
  const auto ridges = ridge_grid(1);
  const auto errors = errors_of(ridges);
  std::vector<double> exact;
  for (const double ridge : ridges) exact.push_back(plateau(ridge));
  const double chosen = ridges[best_ridge(ridges, exact, errors)];
  EXPECT_GT(chosen, 1e-7);
  EXPECT_LT(chosen, 1e-5);
  Index moved = 0;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    const auto scores = noisy(ridges, seed, plateau);
    const auto best = best_ridge(ridges, scores, errors);
    // Full noise may move the choice by a candidate; the score is that of the plateau.
    EXPECT_NEAR(std::log10(ridges[best] / chosen), 0, 0.276);
    EXPECT_LT(plateau(ridges[best]), 0.3 * (1 + 1e-5));
    std::vector<double> small = scores;  // a hundredth of it, as rounding has, does not
    for (std::size_t r = 0; r < small.size(); ++r)
      small[r] = exact[r] + (scores[r] - exact[r]) / 100;
    EXPECT_EQ(ridges[best_ridge(ridges, small, errors)], chosen);
    moved += ridges[static_cast<std::size_t>(std::ranges::min_element(small) - small.begin())] !=
             ridges.front();
  }
  EXPECT_GT(moved, 10);
}

TEST(RidgeChoice, AMinimumAboveTheNoiseIsFoundWhereverItIs) {
  const auto ridges = ridge_grid(1);
  std::size_t compared = 0;
  for (std::size_t at = 8; at < ridges.size(); ++at)  // errors below 6e-5
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed, ++compared) {
      const auto valley = [&](double ridge) {
        return 0.3 * (1 + 0.01 * std::pow(std::log10(ridge / ridges[at]), 2));
      };
      EXPECT_EQ(best_ridge(ridges, noisy(ridges, seed, valley), errors_of(ridges)), at);
    }
  EXPECT_EQ(compared, 33 * kSeeds);
}

TEST(RidgeChoice, TakesRidgesInAnyOrderAndNoneWithoutAFiniteScore) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> ridges{1e-3, 1, 1e-6, 1e-2, 1e-4};
  const std::vector<double> errors{1e-9, infinity, nan, 1e-9, 1e-9};
  const std::vector<double> scores{0.5, infinity, nan, 0.5, 0.4};
  EXPECT_EQ(best_ridge(ridges, scores, errors), 4u);
  EXPECT_EQ(best_ridge(ridges, std::vector{0.4, infinity, nan, 0.4, 0.4}, errors), 3u);
  EXPECT_EQ(best_ridge(ridges, std::vector{0.0, infinity, nan, 0.0, 0.4}, errors), 3u);
  EXPECT_THROW(best_ridge(ridges, std::vector{nan, infinity, nan, nan, infinity}, errors),
               RunError);
}

}  // namespace
}  // namespace mercer::krr
