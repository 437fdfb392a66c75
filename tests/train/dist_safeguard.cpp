#include <limits>

#include "dense.hpp"
#include "mercer/base/error.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct SafeguardTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator self = world.split(world.rank(), 0);
};

TEST_F(SafeguardTest, TheSafeguardDecreasesTheLossWhereTheLinearModelFails) {
  // Moderate width, large targets, an S that asks much of the weak directions.
  auto problem = test::dense_problem("dense(32) tanh dense(1)", 16, 2, 1, {}, 4);
  test::precondition_by_inverse(problem);
  Options options;
  options.steps = 60;
  options.record_every = 1;
  std::vector<std::string> said;
  Hooks<double> hooks;
  hooks.say = [&](const std::string& line) { said.push_back(line); };
  const auto with = test::train_on(world, problem, options, hooks);
  EXPECT_GT(with.state.rejected, 0);
  EXPECT_EQ(said.size(), world.root() ? 1u : 0u);
  for (const auto& line : said) EXPECT_NE(line.find("linear regime"), std::string::npos);
  const auto& history = with.state.history;
  ASSERT_EQ(history.size(), 61u);
  for (std::size_t t = 1; t < history.size(); ++t)
    EXPECT_LT(history[t].loss_preconditioned, history[t - 1].loss_preconditioned) << t;

  Hooks<double> silent;
  options.safeguard = false;
  double without = std::numeric_limits<double>::infinity();  // diverged
  bool increased = false;
  try {
    const auto trained = test::train_on(world, problem, options, silent);
    without = trained.state.history.back().loss_preconditioned;
    for (std::size_t t = 1; t < trained.state.history.size(); ++t)
      increased = increased || trained.state.history[t].loss_preconditioned >
                                   trained.state.history[t - 1].loss_preconditioned;
  } catch (const RunError&) {
    increased = true;
  }
  EXPECT_TRUE(increased);
  EXPECT_LT(history.back().loss_preconditioned, without);
}

TEST_F(SafeguardTest, TheSafeguardDoesNothingInTheLinearRegime) {
  const auto problem =
      test::dense_problem("dense(512) tanh dense(1)", 24, 2, 1, test::flattening(8), 1e-3);
  for (const double decay : {0.0, 1e-3}) {
    Options options;
    options.steps = 50;
    options.weight_decay = decay;
    const auto with = test::train_on(world, problem, options);
    options.safeguard = false;
    const auto without = test::train_on(world, problem, options);
    EXPECT_EQ(with.state.rejected, 0);
    EXPECT_EQ(with.state.w, without.state.w);
  }
}

TEST_F(SafeguardTest, WhereNoRateWillDoItSaysSoAndGoesOn) {
  const auto problem = test::dense_problem("dense(12) tanh dense(1)", 9, 2, 1, {});
  auto sets = problem.parts(world);
  auto state = test::start<double>(problem);
  const auto r = problem.residual(problem.w);
  double square = 0;
  for (Index i = 0; i < r.size(); ++i) square += r.data()[i] * r.data()[i];
  state.first_residual = std::sqrt(square) / 3;  // |r| > 2 |r_0| whatever is tried
  Options options;
  options.steps = 3;
  std::vector<std::string> said;
  Hooks<double> hooks;
  hooks.say = [&](const std::string& line) { said.push_back(line); };
  const auto outcome =
      descend<double>(world, problem.network, sets, state, problem.w, options, {}, hooks);
  EXPECT_EQ(outcome.stop_reason, StopReason::all_steps);
  EXPECT_EQ(state.rejected, 27);  // 2^-27 < 1e-8 of the bound
  EXPECT_NEAR(state.rate, 1e-8 * state.bound, 1e-20);
  ASSERT_EQ(said.size(), world.root() ? 2u : 0u);
  if (!said.empty()) {
    EXPECT_NE(said[1].find("at any rate"), std::string::npos) << said[1];
  }
}

TEST_F(SafeguardTest, SinglePrecisionConvergesAsFarAsItCanWithoutLosingItsRate) {
  auto problem = test::dense_problem("dense(512) tanh dense(1)", 20, 3, 1, {}, 0.1);
  test::precondition_by_inverse(problem);
  auto sets = problem.parts<float>(world);
  auto state = test::start<float>(problem);
  const auto w_0 = state.w;
  Options options;
  options.steps = 3000;
  options.tolerance = 1e-4;
  const auto outcome = descend<float>(world, problem.network, sets, state, w_0, options, {}, {});
  EXPECT_EQ(outcome.stop_reason, StopReason::converged) << state.history.back().residual;
  EXPECT_GE(state.rate, 0.2 * state.bound);
}

}  // namespace
}  // namespace mercer::train
