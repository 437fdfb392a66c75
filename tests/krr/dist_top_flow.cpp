// Training times from the top eigenpairs alone: all pairs, a spectrum that is flat beyond the pairs,
// the bounds on what other modes change, bad input.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/krr/top_flow.hpp"
#include "msk/pairs.hpp"
#include "support/grids.hpp"

namespace mercer::krr {
namespace {

using test::Dense;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Index kN = 13, kBlock = 4, kOutputs = 2;
constexpr double kTolerance = 1e-11;  // sums of 13 products of numbers of order 1 to 100

double target(Index i, Index o) {
  return std::sin(static_cast<double>((2 * o + 1) * i) * 0.37 + 0.5) + 0.2 * static_cast<double>(o);
}

std::vector<GradientFlow> flows() {
  return {{.time = 0.3, .ridge = 0.01},
          {.time = 20},
          {.time = 200, .ridge = 0.01},
          {.ridge = 0.05},
          {.time = 6, .step = 0.5}};
}

struct TopFlowTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  RowBlock<double> Y = test::row_block(world, kN, kOutputs, target);

  /// body(all pairs, the top k by rows, g on all, g on these, TopFlow) for K of these eigenvalues.
  template <class Body>
  void for_maps(const std::vector<double>& lambda, Index k, Body&& body) {
    const dist::ProcessGrid grid(world, test::grid_shapes(world.size()).front());
    const auto all = test::householder_pairs<double>(lambda, kN, grid, kBlock);
    const Dense K = test::dense(kN, kN, test::HouseholderMatrix(lambda));
    const auto times_K = [&](const RowBlock<double>& A) {
      const Dense product = test::times(K, test::replicated(A));
      return test::row_block(world, A.rows(), A.cols(),
                             [&](Index i, Index o) { return product(i, o); });
    };
    std::vector<double> diagonal;
    for (Index i = 0; i < Y.local_rows(); ++i)
      diagonal.push_back(K(Y.first_row() + i, Y.first_row() + i));
    for (const char* g : {"identity", "0.5*l"}) {
      SCOPED_TRACE(g);
      const auto map = msk::SpectrumMap::parse(g);
      const auto of_all =
          map.apply(all.values, all.next, true, msk::SpectrumMap::Positivity::nonnegative, 1e-13);
      auto top = spectral::by_rows(all);
      top.values.resize(static_cast<std::size_t>(k));
      top.residuals.resize(static_cast<std::size_t>(k));
      Matrix<double> V(top.vectors.rows(), k);
      std::copy_n(top.vectors.data(), V.size(), V.data());
      top.vectors = std::move(V);
      auto of_top = of_all;
      of_top.lambda.resize(static_cast<std::size_t>(k));
      of_top.g.resize(static_cast<std::size_t>(k));
      body(SpectralPath<double>(all, of_all, Y), TopFlow(top, of_top, Y, times_K, diagonal), g);
    }
  }

  void expect_same(const Fit& a, const Fit& b) {
    EXPECT_LE(test::relative_difference(test::replicated(a.alpha), test::replicated(b.alpha)),
              kTolerance);
    EXPECT_LE(test::relative_difference(test::replicated(a.fitted), test::replicated(b.fitted)),
              kTolerance);
    EXPECT_NEAR(a.loo_rmse, b.loo_rmse, kTolerance * b.loo_rmse);
    EXPECT_NEAR(a.gcv, b.gcv, kTolerance * b.gcv);
    for (std::size_t o = 0; o < kOutputs; ++o) {
      EXPECT_NEAR(a.loo_rmse_by_output.at(o), b.loo_rmse_by_output.at(o), kTolerance);
      EXPECT_NEAR(a.gcv_by_output.at(o), b.gcv_by_output.at(o), kTolerance);
    }
  }
};

TEST_F(TopFlowTest, AllPairsAreThoseOfTheWholePath) {
  for_maps(test::geometric(kN, 1, 0.8), kN,
           [&](const auto& path, const TopFlow& top, std::string_view) {
             const auto exact = path.fit(flows());
             const auto fits = top.fit(flows());
             for (std::size_t t = 0; t < fits.size(); ++t) {
               SCOPED_TRACE(t);
               expect_same(fits[t], exact[t]);
             }
           });
}

TEST_F(TopFlowTest, EqualEigenvaluesBeyondThePairsAreTakenExactly) {
  constexpr Index k = 5;
  auto lambda = test::geometric(kN, 1, 0.8);
  std::fill(lambda.begin() + k, lambda.end(), lambda[k - 1]);
  for_maps(lambda, k, [&](const auto& path, const TopFlow& top, std::string_view g) {
    if (g != "identity") return;  // S acts on the pairs alone
    const auto exact = path.fit(flows());
    const auto fits = top.fit(flows());
    for (std::size_t t = 0; t < fits.size(); ++t) {
      SCOPED_TRACE(t);
      expect_same(fits[t], exact[t]);
      EXPECT_GT(fits[t].rest_fitted, 0);
    }
  });
}

TEST_F(TopFlowTest, TheOtherModesChangeNoMoreThanTheBounds) {
  constexpr Index k = 4;
  const auto lambda = test::geometric(kN, 1, 0.6);
  const Dense K = test::dense(kN, kN, test::HouseholderMatrix(lambda));
  for_maps(lambda, k, [&](const auto& path, const TopFlow& top, std::string_view g) {
    if (g != "identity") return;
    const auto exact = path.fit(flows());
    const auto fits = top.fit(flows());
    for (std::size_t t = 0; t < fits.size(); ++t) {
      SCOPED_TRACE(t);
      const auto F = test::replicated(fits[t].fitted), G = test::replicated(exact[t].fitted);
      double square = 0;
      for (Index o = 0; o < kOutputs; ++o)
        for (Index i = 0; i < kN; ++i) square += std::pow(F(i, o) - G(i, o), 2);
      const double off = std::sqrt(square / (kN * kOutputs));
      EXPECT_LE(off, fits[t].rest_fitted * (1 + 1e-9));
      EXPECT_GT(off, 0.2 * fits[t].rest_fitted);  // Y is in modes of many eigenvalues
      // k(x_i, x_i)^(1/2) = (n K_ii)^(1/2).
      for (Index i = 0; i < kN; ++i) {
        const double here =
            std::sqrt((std::pow(F(i, 0) - G(i, 0), 2) + std::pow(F(i, 1) - G(i, 1), 2)) / kOutputs);
        EXPECT_LE(here, fits[t].rest_predicted * std::sqrt(kN * K(i, i)));
      }
    }
  });
}

TEST(RestOfModes, BoundsEveryEigenvalueAndIsNearlyAttained) {
  constexpr double largest = 0.3;
  for (const auto& flow : flows()) {
    const auto rest = rest_of_modes(flow, largest);
    double fitted = 0, predicted = 0;
    for (double lambda = largest; lambda > 1e-12; lambda *= 0.999) {
      const double off = flow.filter(lambda + flow.ridge) - rest.filter;
      EXPECT_LE(lambda * off, rest.fitted);
      EXPECT_LE(std::sqrt(lambda) * off, rest.predicted);
      fitted = std::max(fitted, lambda * off);
      predicted = std::max(predicted, std::sqrt(lambda) * off);
    }
    EXPECT_GE(fitted, 0.97 * rest.fitted);
    EXPECT_GE(predicted, 0.97 * rest.predicted);
  }
  const auto endless = rest_of_modes({}, largest);
  EXPECT_DOUBLE_EQ(endless.filter, 1 / largest);
  EXPECT_NEAR(endless.fitted, 1, 1e-12);
  EXPECT_EQ(endless.predicted, kInfinity);
  EXPECT_EQ(rest_of_modes({.time = 3}, 0).fitted, 0);
}

TEST_F(TopFlowTest, RefusesWhatItCannotBound) {
  EXPECT_THROW(rest_of_modes({.time = 8, .step = 4}, 0.3), InputError);
  EXPECT_NO_THROW(rest_of_modes({.step = 4}, 0.3));
  for_maps(test::geometric(kN, 1, 0.8), 3, [&](const auto&, const TopFlow& top, std::string_view) {
    for (const GradientFlow& flow :
         {GradientFlow{.time = -1}, GradientFlow{.time = 1, .ridge = -1},
          GradientFlow{.time = std::numeric_limits<double>::quiet_NaN()},
          GradientFlow{.time = 1, .step = 0.3}, GradientFlow{.time = 8, .step = 4}})
      EXPECT_THROW(top.fit(std::vector<GradientFlow>{flow}), InputError);
    const auto times = top.times({});
    EXPECT_LE(times.back().time * std::pow(0.8, 2), 10);
    EXPECT_LT(times.front().time, times.back().time);
  });
}

}  // namespace
}  // namespace mercer::krr
