// Training that is stopped at a time: steps of descent done one by one, the limit, the scores of a
// linear smoother from its matrix, bad input.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/krr/covariance.hpp"
#include "mercer/krr/fit.hpp"
#include "msk/pairs.hpp"
#include "support/grids.hpp"

namespace mercer::krr {
namespace {

using test::Dense;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Index kN = 13, kBlock = 4;

double target(Index i, Index o) {
  return std::sin(static_cast<double>((2 * o + 1) * i) * 0.37 + 0.5) + 0.2 * static_cast<double>(o);
}

template <class T>
struct FlowTest : testing::Test {
  static constexpr double eps = std::numeric_limits<T>::epsilon();
  comm::Communicator world = comm::Communicator::world();
  std::vector<double> lambda = test::geometric(kN, 1, 0.8);

  /// body(pairs, spectrum) for every grid, for K and for K_g.
  template <class Body>
  void for_spectra(Body&& body) {
    for (const auto shape : test::grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      const auto pairs = test::householder_pairs<T>(lambda, kN, grid, kBlock);
      for (const char* g : {"identity", "sqrt(l*lk)", "0.5*l"}) {
        SCOPED_TRACE(fmt::format("grid {}x{} g {}", shape.rows, shape.cols, g));
        body(pairs, msk::SpectrumMap::parse(g).apply(pairs.values, pairs.next, true,
                                                     msk::SpectrumMap::Positivity::nonnegative,
                                                     msk::kModeTolerance<T>));
      }
    }
  }
  static Dense kernel_with(const std::vector<double>& values) {
    return test::dense(kN, kN, test::HouseholderMatrix(values));
  }
  double tolerance() const { return 1e4 * eps; }
};
using Precisions = testing::Types<double, float>;
TYPED_TEST_SUITE(FlowTest, Precisions);

TYPED_TEST(FlowTest, StepsOfDescentAreThoseDoneOneByOne) {
  using T = TypeParam;
  const Index c = 2;
  this->for_spectra([&](const auto& pairs, const auto& spectrum) {
    const auto Y = test::row_block(this->world, kN, c, target);
    const SpectralPath<T> path(pairs, spectrum, Y);
    const double ridge = 0.05, largest = *std::ranges::max_element(spectrum.g);
    for (const double step : {0.7, 1.8 / (largest + ridge)}) {
      const Dense A = test::plus_ridge(this->kernel_with(spectrum.g), ridge);
      const Dense S = this->kernel_with(spectrum.ratio());
      Dense B = test::dense(kN, c, [](Index, Index) { return 0.0; });
      for (int steps = 1; steps <= 20; ++steps) {
        const Dense AB = test::times(A, B);
        for (Index o = 0; o < c; ++o)
          for (Index i = 0; i < kN; ++i) B(i, o) += step * (target(i, o) - AB(i, o));
        if (steps != 1 && steps != 7 && steps != 20) continue;
        const GradientFlow flow{.time = step * steps, .ridge = ridge, .step = step};
        const auto fits = path.fit(std::vector<GradientFlow>{flow});
        const double error =
            test::relative_difference(test::replicated(fits[0].alpha), test::times(S, B));
        EXPECT_TRUE(error <= this->tolerance()) << steps << " steps: " << error;
        EXPECT_TRUE(fits[0].residual <= this->tolerance()) << fits[0].residual;
        EXPECT_FALSE(fits[0].loo_exact);
      }
    }
  });
}

TYPED_TEST(FlowTest, ManySmallStepsAreTheFlow) {
  using T = TypeParam;
  this->for_spectra([&](const auto& pairs, const auto& spectrum) {
    const auto Y = test::row_block(this->world, kN, 1, target);
    const SpectralPath<T> path(pairs, spectrum, Y);
    const std::vector<GradientFlow> both{{.time = 3, .ridge = 0.1},
                                         {.time = 3, .ridge = 0.1, .step = 3e-5}};
    const auto fits = path.fit(both);
    // (1 - h x)^(t/h) = e^(-x t) (1 - x^2 t h/2 + ...), x <= 1.1
    const double error =
        test::relative_difference(test::replicated(fits[1].alpha), test::replicated(fits[0].alpha));
    EXPECT_TRUE(error <= 1e-4 + this->tolerance()) << error;
    EXPECT_GT(error, 0);
  });
}

TYPED_TEST(FlowTest, AtTheEndOfTimeIsRidgeRegression) {
  using T = TypeParam;
  this->for_spectra([&](const auto& pairs, const auto& spectrum) {
    const auto Y = test::row_block(this->world, kN, 3, target);
    const SpectralPath<T> path(pairs, spectrum, Y);
    const std::vector<double> ridges{0.05, 0.3};
    const auto expected = path.fit(ridges);
    const auto fits = path.fit(std::vector<GradientFlow>{
        {.ridge = 0.05}, {.ridge = 0.3}, {.time = 1e7, .ridge = 0.05}, {.ridge = 0.0}});
    for (const auto& [found, r] : {std::pair<int, int>{0, 0}, {1, 1}, {2, 0}}) {
      const Fit& fit = fits[static_cast<std::size_t>(found)];
      const Fit& ridge = expected[static_cast<std::size_t>(r)];
      const double error =
          test::relative_difference(test::replicated(fit.alpha), test::replicated(ridge.alpha));
      EXPECT_TRUE(error <= this->tolerance()) << error;
      EXPECT_NEAR(fit.gcv, ridge.gcv, this->tolerance() * ridge.gcv);
      if (ridge.loo_exact) {
        EXPECT_NEAR(fit.loo_rmse, ridge.loo_rmse, this->tolerance() * ridge.loo_rmse);
      }
    }
    EXPECT_EQ(fits[0].loo_exact, expected[0].loo_exact);
    EXPECT_FALSE(fits[2].loo_exact);
    EXPECT_TRUE(std::isfinite(fits[3].loo_rmse) && std::isfinite(fits[3].gcv));
    EXPECT_TRUE(fits[3].residual <= this->tolerance() / this->lambda.back()) << fits[3].residual;
  });
}

TYPED_TEST(FlowTest, ScoresAreThoseOfTheSmoothersMatrix) {
  using T = TypeParam;
  this->for_spectra([&](const auto& pairs, const auto& spectrum) {
    const std::vector<GradientFlow> flow{{.time = 2.5, .ridge = 0.02}};
    const Dense K = this->kernel_with(this->lambda);
    const auto unit =
        test::row_block(this->world, kN, kN, [](Index i, Index o) { return i == o ? 1.0 : 0.0; });
    const Dense H =
        test::times(K, test::replicated(SpectralPath<T>(pairs, spectrum, unit).fit(flow)[0].alpha));
    const auto Y = test::row_block(this->world, kN, 1, target);
    const auto fit = std::move(SpectralPath<T>(pairs, spectrum, Y).fit(flow)[0]);
    const Dense F = test::times(K, test::replicated(fit.alpha));
    double left_out = 0, residual = 0, trace = 0;
    for (Index i = 0; i < kN; ++i) {
      const double away = target(i, 0) - F(i, 0);
      left_out += std::pow(away / (1 - H(i, i)), 2);
      residual += away * away;
      trace += 1 - H(i, i);
    }
    const double loo = std::sqrt(left_out / kN), gcv = kN * residual / (trace * trace);
    EXPECT_NEAR(fit.loo_rmse, loo, this->tolerance() * loo);
    EXPECT_NEAR(fit.gcv, gcv, this->tolerance() * gcv);
  });
}

TYPED_TEST(FlowTest, FittedValuesAndScoresAreThoseOfTheFits) {
  using T = TypeParam;
  this->for_spectra([&](const auto& pairs, const auto& spectrum) {
    const auto Y = test::row_block(this->world, kN, 2, target);
    const SpectralPath<T> path(pairs, spectrum, Y);
    const std::vector<GradientFlow> flows{
        {.time = 0.3}, {.time = 4, .ridge = 0.1}, {.time = 2, .step = 0.5}, {.ridge = 0.2}};
    const auto fits = path.fit(flows);
    const auto left_out = path.leave_one_out(flows), gcv = path.gcv(flows);
    const Dense K = this->kernel_with(this->lambda);
    for (std::size_t r = 0; r < flows.size(); ++r) {
      const double error = test::relative_difference(
          test::replicated(fits[r].fitted), test::times(K, test::replicated(fits[r].alpha)));
      EXPECT_TRUE(error <= this->tolerance()) << r << ": " << error;
      EXPECT_NEAR(left_out[r], fits[r].loo_rmse, this->tolerance() * fits[r].loo_rmse);
      EXPECT_NEAR(gcv[r], fits[r].gcv, this->tolerance() * fits[r].gcv);
    }
  });
}

TYPED_TEST(FlowTest, TheChosenTimeHasTheLeastScore) {
  using T = TypeParam;
  using Path = SpectralPath<T>;
  this->for_spectra([&](const auto& pairs, const auto& spectrum) {
    // A signal in the first modes, and noise in all: neither end of the range is best.
    const auto Y = test::row_block(this->world, kN, 1, [&](Index i, Index) {
      const test::HouseholderMatrix V(this->lambda);
      return V.eigenvector(i, 0) + 0.05 * std::sin(static_cast<double>(7 * i * i + 1));
    });
    const Path path(pairs, spectrum, Y);
    for (const GradientFlow& like : {GradientFlow{}, {.ridge = 1e-3}, {.step = 0.4}})
      for (const auto score : {Path::Score::leave_one_out, Path::Score::gcv}) {
        const auto chosen = path.select_time(score, like);
        const double mean = std::reduce(spectrum.g.begin(), spectrum.g.end()) / kN;
        const double largest = *std::ranges::max_element(spectrum.g);
        const auto flows = time_grid(like, largest, mean);
        EXPECT_EQ(chosen.scored, std::ssize(flows));
        EXPECT_NEAR(chosen.shortest, std::max(like.step, 0.1 / largest), 1e-12);
        EXPECT_NEAR(chosen.longest, 1e10 / mean, 1e-6 * chosen.longest);
        const auto scores = score == Path::Score::gcv ? path.gcv(flows) : path.leave_one_out(flows);
        double least = kInfinity, of_chosen = kInfinity;
        for (std::size_t r = 0; r < flows.size(); ++r) {
          if (flows[r].time == chosen.flow.time) of_chosen = scores[r];
          double sum = 0, squares = 0;  // GCV: of times that leave a tenth of the modes
          for (const double g : spectrum.g) {
            sum += flows[r].residual(g);
            squares += std::pow(flows[r].residual(g), 2);
          }
          const bool counts =
              score == Path::Score::leave_one_out || sum * sum >= 0.1 * kN * squares;
          if (counts && std::isfinite(scores[r])) least = std::min(least, scores[r]);
        }
        EXPECT_LE(of_chosen, least * (1 + 1e-3)) << chosen.flow.time;
        EXPECT_EQ(chosen.flow.ridge, like.ridge);
        EXPECT_EQ(chosen.flow.step, like.step);
      }
  });
}

TEST(Flow, TheShortestOfEqualTimesIsChosen) {
  const std::vector<GradientFlow> flows{{.time = 1}, {.time = 2}, {.time = 4}, {.time = 8}};
  const std::vector<double> scores{3, 1 + 1e-12, 1, NAN}, errors(4, 1e-9);
  EXPECT_EQ(best_time(flows, scores, errors), 1U);
  const std::vector<double> none(4, kInfinity);
  EXPECT_THROW(best_time(flows, none, errors), RunError);
}

TEST(Flow, StepsOfDescentAreTriedOnce) {
  const auto flows = time_grid({.step = 2}, 1, 0.3);
  for (std::size_t r = 0; r < flows.size(); ++r) {
    EXPECT_EQ(flows[r].time, 2 * flows[r].steps());
    EXPECT_TRUE(r == 0 || flows[r].time > flows[r - 1].time) << r;
  }
  EXPECT_EQ(flows.front().time, 2);
}

TEST(Flow, BadTimesRidgesAndStepsAreRefused) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto pairs = test::householder_pairs<double>({1, 0.5, 0}, 3, grid, kBlock);
  const auto identity =
      msk::SpectrumMap::parse("identity")
          .apply(pairs.values, pairs.next, true, msk::SpectrumMap::Positivity::nonnegative);
  const auto Y = test::row_block(world, 3, 1, target);
  const SpectralPath<double> path(pairs, identity, Y);
  for (const GradientFlow& bad : {GradientFlow{.time = 0},
                                  {.time = -1},
                                  {.time = NAN},
                                  {.time = 1, .ridge = -1},
                                  {.time = 1, .ridge = NAN},
                                  {.time = 1, .step = -1},
                                  {.time = 1, .step = 2},
                                  {.time = 1, .ridge = 1, .step = 1},
                                  {.time = 1, .step = NAN}})
    EXPECT_THROW(path.fit(std::vector<GradientFlow>{{.time = 1}, bad}), InputError);
  EXPECT_THROW(path.fit(std::vector<GradientFlow>{{.time = kInfinity}}), RunError);
  EXPECT_NO_THROW(path.fit(std::vector<GradientFlow>{{.time = 1e300}}));
  EXPECT_TRUE(path.fit(std::vector<GradientFlow>{}).empty());
}

TEST(Flow, SmallTimesAndEigenvaluesOfRoundingKeepTheirDigits) {
  for (const double step : {0.0, 1e-3}) {
    const GradientFlow flow{.time = 0.5, .step = step};
    EXPECT_EQ(flow.filter(0), 0.5);
    EXPECT_EQ(flow.filter(-1e-17), 0.5);
    EXPECT_EQ(flow.rest(-1e-17), 1);
    for (const double x : {1e-12, 1e-9, 1.9e-8, 2.1e-8, 1e-6})
      EXPECT_NEAR(flow.filter(x), 0.5 - 0.5 * 0.5 * x / 2 + 0.5 * step * x / 2, 1e-13) << x;
  }
  for (const double ridge : {0.0, 0.1})
    for (const double step : {0.0, 0.2})
      for (const double g : {1e-3, 0.3, 2.0}) {
        const GradientFlow flow{.time = 1.2, .ridge = ridge, .step = step};
        EXPECT_NEAR(flow.residual(g), 1 - g * flow.filter(g + ridge), 1e-15);
      }
}

TEST(Covariances, OfMatricesThatDoNotFitAreRefused) {
  const auto world = comm::Communicator::world();
  const dist::ProcessGrid grid(world);
  const auto pairs = test::householder_pairs<double>({1, 0.5, 0}, 3, grid, kBlock);
  const auto few = test::householder_pairs<double>({1, 0.5, 0.2}, 2, grid, kBlock);
  const auto zeros = [&](Index rows, Index cols) {
    DistMatrix<double> A(grid, rows, cols, kBlock);
    A.fill([](Index, Index) { return 0.0; });
    return A;
  };
  const auto ZX = zeros(2, 3), XX = zeros(3, 3), ZZ = zeros(2, 2), wide = zeros(2, 4);
  const GradientFlow flow{.time = 1};
  const TrainedCovariance<double> trained(pairs, ZX, XX, ZX);
  EXPECT_NO_THROW(trained.at(ZZ, flow));
  EXPECT_NO_THROW(readout_covariance(pairs, ZX, ZZ.copy(), flow));
  for (const auto* bad : {&wide, &XX}) {
    EXPECT_THROW(TrainedCovariance<double>(pairs, *bad, XX, ZX), InputError);
    EXPECT_THROW(TrainedCovariance<double>(pairs, ZX, XX, *bad), InputError);
    EXPECT_THROW(trained.at(*bad, flow), InputError);
    EXPECT_THROW(readout_covariance(pairs, *bad, ZZ.copy(), flow), InputError);
    EXPECT_THROW(readout_covariance(pairs, ZX, bad->copy(), flow), InputError);
  }
  EXPECT_THROW(TrainedCovariance<double>(pairs, ZX, ZZ, ZX), InputError);
  EXPECT_THROW(TrainedCovariance<double>(few, ZX, XX, ZX), InputError);
  EXPECT_THROW(trained.at(ZZ, {.time = NAN}), InputError);
  EXPECT_THROW(trained.at(ZZ, {.time = 1, .ridge = -1}), InputError);
  EXPECT_THROW(trained.at(ZZ, {}), RunError);  // an eigenvalue of 0
  EXPECT_THROW(readout_covariance(pairs, ZX, ZZ.copy(), {}), RunError);
}

}  // namespace
}  // namespace mercer::krr
