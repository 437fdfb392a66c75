#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/msk/eigenspaces.hpp"

namespace mercer::msk {
namespace {

using Positivity = SpectrumMap::Positivity;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Eigenvalues 1, 0.5 (three times), 0.2 (twice), 0.1, each off by a few units in the last place.
const std::vector<double> kSpectrum{1, 0.5 + 2e-16, 0.5, 0.5 - 1e-16, 0.2 + 1e-16, 0.2, 0.1};
constexpr Index kN = 9;  // 0.05 and 0.01 follow

Cut cut(const char* g, Index top, Index known = 7, std::vector<double> residuals = {},
        Index n = kN) {
  const std::vector<double> lambda(kSpectrum.begin(), kSpectrum.begin() + known);
  const double next = known < 7 ? kSpectrum[static_cast<std::size_t>(known)] : 0.05;
  auto options = cut_options<double>(top, n, Positivity::nonnegative);
  return cut_spectrum(SpectrumMap::parse(g), lambda, next, residuals, options);
}

TEST(Eigenspaces, AClusterEndsAtTheFirstGapAboveTheTolerance) {
  const std::vector<double> lambda{1, 0.5, 0.4, 0.3, 0.1};
  for (const Index k : {2, 3, 4}) {
    EXPECT_EQ(end_of_cluster(lambda, 0, k, 0.11), 4);  // from one to the next
    EXPECT_EQ(start_of_cluster(lambda, k, 0.11), 2);
    EXPECT_EQ(end_of_cluster(lambda, 0, k, 0.01), k);
    EXPECT_EQ(start_of_cluster(lambda, k, 0.01), k);
  }
  EXPECT_EQ(end_of_cluster(lambda, 0.05, 5, 0.06), 6);  // what follows belongs to it
  EXPECT_EQ(end_of_cluster(lambda, -kInfinity, 5, 1), 5);
  EXPECT_EQ(end_of_cluster(lambda, std::nan(""), 5, 1), 5);
  EXPECT_EQ(end_of_cluster(std::vector<double>(4, 2.0), 2.0, 1, 0), 5);
  EXPECT_EQ(start_of_cluster(std::vector<double>(4, 2.0), 4, 0), 1);
}

TEST(Eigenspaces, AJumpWithinAnEigenspaceMovesKToItsEnd) {
  for (const char* g : {"l1", "inverse", "flat:2", "flat:1.001", "sqrt(l*l1)", "2*l", "l^2"})
    for (Index top = 1; top <= 7; ++top) {
      const Index end = top == 1 ? 1 : top <= 4 ? 4 : top <= 6 ? 6 : 7;
      const Cut found = cut(g, top);
      EXPECT_EQ(found.k, end) << g << " " << top;
      EXPECT_EQ(found.asked, top);
      EXPECT_FALSE(found.open);
      ASSERT_EQ(found.spectrum.g.size(), 7u);
      // g is evaluated with the extended k: the spectrum of what is asked for directly.
      const Cut direct = cut(g, end);
      EXPECT_EQ(direct.k, end);  // a fixed point
      EXPECT_EQ(found.spectrum.g, direct.spectrum.g) << g << " " << top;
      EXPECT_EQ(found.spectrum.next, direct.spectrum.next);
      for (std::size_t i = static_cast<std::size_t>(end); i < 7; ++i)
        EXPECT_EQ(found.spectrum.g[i], kSpectrum[i]);
      const auto notes = found.notes();
      ASSERT_EQ(notes.size(), end > top ? 1u : 0u);
      if (end == top) continue;
      for (const auto& word : {fmt::format("k = {} cuts", top), fmt::format("to k = {}", end),
                               fmt::format("lambda_{} = lambda_{}", top, top + 1)})
        EXPECT_NE(notes[0].find(word), std::string::npos) << notes[0];
    }
}

TEST(Eigenspaces, AGThatIsContinuousAtLambdaKLeavesKAsItIs) {
  for (const char* g : {"flat", "identity", "power:0.5", "power:0", "power:3", "flat:1", "l",
                        "sqrt(l*lk)", "0.5*(l+lk)", "lk"})
    for (Index top = 1; top <= 7; ++top) {
      const Cut found = cut(g, top);
      EXPECT_EQ(found.k, top) << g;
      EXPECT_TRUE(found.notes().empty()) << g;
    }
}

TEST(Eigenspaces, AnEndThatIsNotKnownIsToldWithAKThatWouldDo) {
  for (const Index known : {Index{2}, Index{3}}) {
    const Cut found = cut("l1", 2, known);
    EXPECT_TRUE(found.open);
    EXPECT_EQ(found.before, 1);
    try {
      refuse(found, SpectrumMap::parse("l1"), kN, "no more pairs");
      FAIL();
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find("`top` 1 would do"), std::string::npos)
          << error.what();
    }
  }
  EXPECT_FALSE(cut("l1", 2, 4).open);  // 0.2 follows
  const std::vector<double> ones(5, 1.0);
  const auto of_ones = [&](Index n) {
    return cut_spectrum(SpectrumMap::parse("flat:2"), ones, 1, {},
                        cut_options<double>(2, n, Positivity::positive));
  };
  EXPECT_TRUE(of_ones(9).open);
  EXPECT_EQ(of_ones(9).before, 0);  // K = I: all of them
  EXPECT_EQ(of_ones(5).k, 5);
}

TEST(Eigenspaces, ResidualsSayWhatCountsAsEqual) {
  const std::vector<double> lambda{1, 0.5, 0.5 - 1e-9, 0.1};
  const auto found = [&](double residual) {
    return cut_spectrum(SpectrumMap::parse("l1"), lambda, 0.05, std::vector<double>(4, residual),
                        cut_options<double>(2, 9, Positivity::nonnegative));
  };
  EXPECT_EQ(found(1e-15).k, 2);  // a gap of 1e-9 is resolved, but it leaves something open
  EXPECT_NEAR(found(1e-15).uncertainty, 5e-7, 1e-12);  // an angle of 1e-15/1e-9; 0.5 in place of 1
  EXPECT_NE(found(1e-15).warning(), "");
  EXPECT_EQ(found(1e-9).k, 3);
  EXPECT_EQ(found(1e-15).uncertainty > found(1e-16).uncertainty, true);
  const auto smooth = cut_spectrum(SpectrumMap::parse("power:0.5"), lambda, 0.05, {},
                                   cut_options<double>(2, 9, Positivity::nonnegative));
  EXPECT_EQ(smooth.uncertainty, 0);
  EXPECT_EQ(cut("l1", 4).warning(), "");
}

TEST(Eigenspaces, SinglePrecisionHasATolerance) {
  const std::vector<double> lambda{1, 0.5, 0.5 - 4e-7, 0.1};
  const auto k = [&](const CutOptions& options) {
    return cut_spectrum(SpectrumMap::parse("l1"), lambda, 0.05, {}, options).k;
  };
  EXPECT_EQ(k(cut_options<float>(2, 9, Positivity::nonnegative)), 3);
  EXPECT_EQ(k(cut_options<double>(2, 9, Positivity::nonnegative)), 2);
}

TEST(Eigenspaces, ModesThatAreLeftOutEndAnEigenspace) {
  // Rank 3 and rounding, or a tail that sinks below the tolerance in small steps.
  const std::vector<double> rank{1, 0.3, 0.2, 3e-17, 1e-17, -2e-17};
  const std::vector<double> tail{1, 0.3, 2.5e-13, 1.8e-13, 1.2e-13, 0.9e-13};
  const auto found = [](const std::vector<double>& lambda, Index top, double next) {
    return cut_spectrum(SpectrumMap::parse("inverse"), lambda, next, {},
                        cut_options<double>(top, 9, Positivity::nonnegative));
  };
  for (const Index top : {3, 4, 5, 6}) {
    const auto cut = found(rank, top, -3e-17);
    EXPECT_EQ(cut.k, top);
    EXPECT_FALSE(cut.open);
  }
  EXPECT_EQ(found(tail, 3, 0.5e-13).k, 5);
  EXPECT_EQ(found(tail, 6, 0.5e-13).k, 6);
}

TEST(Eigenspaces, AGOfTheIndexTakesItsMeanOnAnEigenspace) {
  const Cut found = cut("1/i", 6);
  EXPECT_EQ(found.averaged, 2);
  const double three = (1.0 / 2 + 1.0 / 3 + 1.0 / 4) / 3, two = (1.0 / 5 + 1.0 / 6) / 2;
  const std::vector<double> expected{1, three, three, three, two, two, 0.1};
  ASSERT_EQ(found.spectrum.g.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(found.spectrum.g[i], expected[i], 1e-15);
  EXPECT_EQ(found.notes().size(), 1u);
  for (const char* smooth : {"1/l", "l^3", "exp(l)", "inverse", "l1"})
    EXPECT_EQ(cut(smooth, 6).averaged, 0) << smooth;
}

/// Pairs of kSpectrum as a solver would give them.
struct FakePairs {
  std::vector<double> values{};
  double next = 0;
  std::vector<double> residuals{};
  Index k() const { return static_cast<Index>(values.size()); }
};

TEST(Eigenspaces, MorePairsAreAskedForUntilTheEndIsKnown) {
  std::vector<double> lambda{1};
  lambda.insert(lambda.end(), 30, 0.5);
  for (int i = 0; i < 9; ++i) lambda.push_back(0.1 / (i + 1));
  const auto n = static_cast<Index>(lambda.size());
  const auto g = SpectrumMap::parse("l1");
  const auto options = cut_options<double>(3, n, Positivity::nonnegative);
  std::vector<Index> asked;
  const auto solve = [&](Index k, double, const FakePairs*) {
    asked.push_back(k);
    return FakePairs{{lambda.begin(), lambda.begin() + k},
                     k < n ? lambda[static_cast<std::size_t>(k)] : lambda.back(),
                     {}};
  };
  const auto found = solve_and_cut<FakePairs>(g, options, {}, solve);
  EXPECT_EQ(found.cut.k, 31);
  EXPECT_EQ(asked, (std::vector<Index>{3, 11, 27, 40}));
  EXPECT_EQ(found.pairs.k(), 40);
  EXPECT_THROW(solve_and_cut<FakePairs>(g, options, {.most = 20}, solve), InputError);
  asked.clear();
  solve_and_cut<FakePairs>(g, options, {.pairs = 35}, solve);
  EXPECT_EQ(asked, (std::vector<Index>{35}));
}

TEST(Eigenspaces, AnIterativeSolverIsAskedForWhatTheGapNeeds) {
  const std::vector<double> lambda{1, 0.5, 0.499, 0.1};
  const auto g = SpectrumMap::parse("l1");
  auto options = cut_options<double>(2, 9, Positivity::nonnegative);
  std::vector<double> asked;
  const auto solve = [&](Index k, double tolerance, const FakePairs* before) {
    EXPECT_EQ(before != nullptr, !asked.empty());
    asked.push_back(tolerance);
    return FakePairs{{lambda.begin(), lambda.begin() + k},
                     lambda[static_cast<std::size_t>(k)],
                     std::vector<double>(static_cast<std::size_t>(k), tolerance)};
  };
  const auto found = solve_and_cut<FakePairs>(g, options, {.tolerance = 1e-10}, solve);
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_LT(asked[1], 2e-12);
  EXPECT_EQ(found.cut.warning(), "");
  EXPECT_EQ(found.cut.k, 2);
}

TEST(Eigenspaces, AKThatIsNotThereIsAnInputError) {
  EXPECT_THROW(cut("flat", 0), InputError);
  EXPECT_THROW(cut("flat", 8), InputError);
}

}  // namespace
}  // namespace mercer::msk
