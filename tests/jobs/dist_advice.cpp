// On a network that is linear in its weights, linear theory is exact: advice says what a training
// does.
#include <gtest/gtest.h>

#include <cmath>

#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/jobs/advice.hpp"
#include "mercer/net/empirical.hpp"

namespace mercer::jobs {
namespace {

constexpr Index n = 37, d = 12;

double coordinate(Index i, Index a) {
  return std::sin(static_cast<double>(7 * i * (a + 1) + 3 * a * a + 1)) /
         static_cast<double>(a + 1);
}

struct AdviceTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  dist::ProcessGrid grid{world};
  Monitor silent;
  gram::Source laplacian = gram::Source::function(
      kernel::radial("laplacian", [](double distance) { return std::exp(-distance); }));

  static net::Network network(Index outputs) {
    return {arch::parse("dense(" + std::to_string(outputs) + ")", {.bias_std = 1}), d,
            net::Parametrization::ntk, net::Start::gaussian};
  }
  /// Targets that a linear network can reach.
  data::Split sets(Index outputs) const {
    const auto target = [](Index i, Index a) {
      double sum = 0.2;
      for (Index q = 0; q < d; ++q)
        sum += std::cos(static_cast<double>(q + 5 * a)) * coordinate(i, q);
      return sum;
    };
    return data::split_of(data::of_rows(test::row_block(world, n, d, coordinate),
                                        test::row_block(world, n, outputs, target)));
  }
  void expect_what_training_does(TrainingOptions options, Index outputs, Index slack) {
    const auto rows = sets(outputs);
    const auto net = network(outputs);
    const auto w_0 = net.initial<double>(3);
    const auto resources = Resources::of(grid);
    options.descent.tolerance = 0.02;
    options.descent.steps = 3000;
    options.descent.safeguard = false;  // it may lower the rate where batches make noise
    const auto advice = advise<double>(options, net, laplacian, rows, w_0, resources, grid, silent);
    EXPECT_EQ(advice.rows, n);
    EXPECT_TRUE(advice.any);
    Index compared = 0;
    for (const auto& top : advice.tops) {
      EXPECT_GE(top.spread, 1 - 1e-3);     // measured from below, to that
      if (top.k > 12 * outputs) continue;  // K_0 has not so many
      auto training = options;
      training.top = top.k > 0 ? top.k : -1;
      if (top.k == 0) {
        training.precondition = Precondition::none;
        training.g = "flat";
      }
      const auto plan = jobs::plan<double>(training, net, laplacian, rows, w_0, resources, world);
      const auto trained = train<double>(plan, net, rows, w_0, grid, silent);
      const bool reached = trained.outcome.stop_reason == train::StopReason::converged;
      EXPECT_EQ(top.reached, reached) << top.k;
      EXPECT_LE(std::abs(top.steps - trained.state.step), slack) << top.k << ": " << top.steps;
      EXPECT_NEAR(top.rate / trained.state.bound, 1, 2e-3) << top.k;
      EXPECT_GT(top.bytes, 0);
      ++compared;
    }
    EXPECT_GE(compared, 2);
  }
};

TEST_F(AdviceTest, OfFullBatchesIsExact) {
  expect_what_training_does({.precondition = Precondition::empirical, .top = 4}, 1, 1);
  expect_what_training_does({.precondition = Precondition::empirical, .top = 4, .g = "power:0.5"},
                            2, 1);
}

TEST_F(AdviceTest, OfAnSOfAnotherKernelIsExact) {
  expect_what_training_does({.precondition = Precondition::kernel, .top = 4}, 1, 1);
  expect_what_training_does({.precondition = Precondition::kernel, .top = 4}, 2, 1);
}

TEST_F(AdviceTest, OfBatchesFollowsThemOneByOne) {
  TrainingOptions options{.precondition = Precondition::empirical, .top = 4};
  options.descent.batch = 8;
  expect_what_training_does(options, 1, 0);
  expect_what_training_does(options, 2, 0);
}

TEST_F(AdviceTest, WhatTheModelDoesNotKnowIsRefused) {
  const auto rows = sets(1);
  const auto net = network(1);
  const auto w_0 = net.initial<double>(3);
  const auto refused = [&](TrainingOptions options) {
    EXPECT_THROW(advise<double>(options, net, laplacian, rows, w_0, {}, grid, silent), InputError);
  };
  TrainingOptions options{.precondition = Precondition::empirical, .top = 4};
  refused(options);  // neither tolerance nor loss
  options.descent.tolerance = 0.1;
  options.descent.momentum = 0.5;
  refused(options);
  options.descent.momentum = 0;
  options.descent.weight_decay = 1;
  refused(options);
  options.descent.weight_decay = 0;
  options.descent.batch = 8;
  options.descent.stochastic = train::Stochastic::block;
  refused(options);
  options.descent.stochastic = train::Stochastic::rows;
  refused(options);
}

}  // namespace
}  // namespace mercer::jobs
