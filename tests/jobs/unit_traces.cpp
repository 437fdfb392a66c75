// Projections of the test residual beside linear theory, and the loss's bound, from records.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/jobs/training_traces.hpp"

namespace mercer::jobs {
namespace {

using train::Record;

constexpr Index n = 10;
constexpr double kRate = 0.05;  // eta n = 0.5

FunctionTrace trace_of(std::vector<double> rates) {
  FunctionTrace trace{.rates = rates, .n = n, .outputs = 1, .target = 2, .kernel_difference = 0.25};
  for (std::size_t i = 0; i < rates.size(); ++i) {
    trace.index.push_back(static_cast<Index>(i) + 1);
    trace.spaces.push_back({.first = static_cast<Index>(i)});
    trace.place.push_back(i);
  }
  return trace;
}

/// Records of steps 0, 1, ... in which each projection is `off` times what the steps leave of 1.
std::vector<Record> records(const FunctionTrace& trace, double off, double missing = 0) {
  std::vector<Record> history(4);
  for (std::size_t t = 0; t < history.size(); ++t) {
    history[t].step = static_cast<Index>(t);
    history[t].time = kRate * static_cast<double>(t);
    for (const double sigma : trace.rates) {
      const double decay = std::pow(1 - kRate * n * sigma, static_cast<double>(t)) + missing;
      history[t].decay.push_back(decay);
      history[t].projection.push_back(decay * (t == 0 ? 1 : off));
    }
  }
  return history;
}

TEST(Projections, OfLinearTheoryItselfDeviateByNothing) {
  const auto trace = trace_of({1, 0.1});
  const auto p = projections(trace, records(trace, 1));
  EXPECT_EQ(p.epsilon, 0);
  EXPECT_DOUBLE_EQ(p.theory, 4 * 4 * 0.25);
  EXPECT_DOUBLE_EQ(p.measured(2, 0), 0.25);
  EXPECT_DOUBLE_EQ(p.predicted(2, 0), 0.25);
  EXPECT_DOUBLE_EQ(p.flow(2, 0), std::exp(-1.0));
  EXPECT_DOUBLE_EQ(p.time[2], 1);
}

TEST(Projections, AResidualAlongOneFunctionDeviatesAlongNoneThoughTheyOverlap) {
  auto trace = trace_of({1, 0.1});
  trace.inverse_gram = {4 / 3.0, -2 / 3.0, -2 / 3.0, 4 / 3.0};  // of <phi_1, phi_2> = 1/2
  auto history = records(trace, 1);
  for (auto& record : history) record.projection = {record.decay[0], record.decay[0] / 2};
  const auto p = projections(trace, history);
  for (Index t = 0; t < 4; ++t)
    for (Index s = 0; s < 2; ++s) EXPECT_NEAR(p.deviation(t, s), 0, 1e-30);
  EXPECT_DOUBLE_EQ(p.measured(1, 1), 0.25);
  trace.inverse_gram.clear();
  EXPECT_GT(projections(trace, history).deviation(3, 1), 0.01);
}

TEST(Projections, EpsilonIsTheSmallestThatBoundsEveryRecord) {
  const auto trace = trace_of({1, 0.1});
  const auto p = projections(trace, records(trace, 1.1));
  double most = 0;
  for (Index t = 1; t < 4; ++t)
    for (Index s = 0; s < 2; ++s) {
      EXPECT_LE(p.deviation(t, s), p.bound(t, s) * (1 + 1e-14));
      most = std::max(most, p.deviation(t, s) / p.bound(t, s));
    }
  EXPECT_NEAR(most, 1, 1e-14);
  // After a step decays are 0.5 and 0.95, both factors 0.5, and a tenth of each decay is off.
  EXPECT_EQ(p.epsilon_step, 1);
  EXPECT_EQ(p.epsilon_space, 1);
  EXPECT_NEAR(p.epsilon, (0.05 * 0.05 + 0.095 * 0.095) / 0.25, 1e-14);
  EXPECT_NEAR(p.whole_bound[3], 1.5 * 1.5 * p.epsilon, 1e-15);
}

TEST(Projections, ATinyRateHasTheFactorOfItsLimit) {
  const auto trace = trace_of({1e-14});  // 1 - decay is rounding
  const auto p = projections(trace, records(trace, 1.1));
  EXPECT_NEAR(p.epsilon, 0.01 / 0.25, 1e-12);  // 0.1^2 over t^2 of the first step
}

TEST(Projections, WithoutAPredictionNothingIsClaimed) {
  const auto trace = trace_of({1, 0.1});
  const auto p = projections(trace, records(trace, 1, std::numeric_limits<double>::quiet_NaN()));
  EXPECT_TRUE(std::isnan(p.epsilon));
  EXPECT_TRUE(std::isnan(p.predicted(1, 0)));
  auto late = records(trace, 1);
  late.erase(late.begin());
  EXPECT_THROW(projections(trace, late), InputError);
}

TEST(LossBound, TakesTheLowerEigenvalueOfEachIntervalAndSaysForWhatItIsNot) {
  std::vector<Record> history(3);
  const double lambda[] = {0.2, 0.1, -1};
  for (std::size_t t = 0; t < 3; ++t) {
    history[t].step = static_cast<Index>(t);
    history[t].time = kRate * static_cast<double>(t);
    history[t].rate = kRate;
    history[t].loss = t == 2 ? 1.0 : 2.0;
    history[t].tracked.assign(kTrackedNumbers, 0);
    history[t].tracked[kSmallest] = lambda[t];
    history[t].tracked[kLargest] = t == 1 ? 3.0 : 1.0;
  }
  const auto bound = loss_bound(history, {}, false, n);
  EXPECT_EQ(bound.not_for, "");
  EXPECT_DOUBLE_EQ(bound.loss[1], 2 * std::exp(-2 * n * 0.1 * kRate));
  EXPECT_DOUBLE_EQ(bound.loss[2], bound.loss[1]);  // where it is negative, 0
  EXPECT_EQ(bound.above, 1);
  EXPECT_EQ(bound.fast, 1);
  EXPECT_NE(loss_bound(history, {}, true, n).not_for, "");
  EXPECT_NE(loss_bound(history, {.momentum = 0.5}, false, n).not_for, "");
  EXPECT_NE(loss_bound(history, {.batch = 2}, false, n).not_for, "");
  history[1].tracked[kSmallest] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_GT(loss_bound(history, {}, false, n).above, 0);
}

}  // namespace
}  // namespace mercer::jobs
