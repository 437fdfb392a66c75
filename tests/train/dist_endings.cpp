#include <algorithm>
#include <limits>

#include "dense.hpp"
#include "mercer/base/error.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct EndingTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator self = world.split(world.rank(), 0);
};

TEST_F(EndingTest, StopsWhereItIsToldTo) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 2000;
  options.record_every = 1;

  Options by_residual = options;
  by_residual.tolerance = 0.5;
  auto trained = test::train_on(world, problem, by_residual);
  EXPECT_EQ(trained.outcome.stop_reason, StopReason::converged);
  auto history = std::move(trained.state.history);
  EXPECT_LE(history.back().residual, 0.5);
  EXPECT_GT(history[history.size() - 2].residual, 0.5);
  EXPECT_EQ(history.back().step, trained.state.step);

  Options by_loss = options;
  by_loss.loss = history.back().loss;
  trained = test::train_on(world, problem, by_loss);
  EXPECT_EQ(trained.outcome.stop_reason, StopReason::loss_reached);
  EXPECT_EQ(trained.state.step, history.back().step);

  Options by_steps = options;
  by_steps.steps = 4;
  trained = test::train_on(world, problem, by_steps);
  EXPECT_EQ(trained.outcome.stop_reason, StopReason::all_steps);
  EXPECT_EQ(trained.state.step, 4);
  ASSERT_EQ(trained.state.history.size(), 5u);
  for (std::size_t t = 0; t < 5; ++t)
    EXPECT_EQ(trained.state.history[t].step, static_cast<Index>(t));

  Options by_time = options;
  by_time.steps = 100'000'000;
  by_time.record_every = 0;
  by_time.max_seconds = 0.05;
  trained = test::train_on(world, problem, by_time);
  EXPECT_EQ(trained.outcome.stop_reason, StopReason::out_of_time);
  EXPECT_GE(trained.state.seconds, 0.05);

  Options none = options;
  none.steps = 0;
  trained = test::train_on(world, problem, none);
  EXPECT_EQ(trained.outcome.stop_reason, StopReason::all_steps);
  EXPECT_EQ(trained.state.w, problem.w);
  EXPECT_EQ(trained.state.history.size(), 1u);
}

TEST_F(EndingTest, ASignalOnAnyRankEndsTheRunOnAllWithACheckpoint) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 1000;
  int looks = 0;
  Index written = -1;
  std::vector<double> w_written;
  Hooks<double> hooks;
  hooks.interrupted = [&] { return ++looks > 8 && world.rank() == world.size() - 1; };
  hooks.checkpoint = [&](const State<double>& state) {
    written = state.step;
    w_written = state.w;
  };
  const auto trained = test::train_on(world, problem, options, hooks);
  EXPECT_EQ(trained.outcome.stop_reason, StopReason::interrupted);
  EXPECT_EQ(trained.state.step, world.all_reduce(trained.state.step, comm::Op::max));
  EXPECT_GT(trained.state.step, 2);
  EXPECT_LT(trained.state.step, 10);
  EXPECT_EQ(written, trained.state.step);
  EXPECT_EQ(w_written, trained.state.w);
}

TEST_F(EndingTest, CheckpointsAndRecordsComeWhenTheyAreDue) {
  Options options;
  options.steps = 300;
  options.rate = 1e-4;
  options.checkpoint_every = 70;
  std::vector<Index> checkpoints;
  Index steps_seen = 0;
  Hooks<double> hooks;
  hooks.checkpoint = [&](const State<double>& state) { checkpoints.push_back(state.step); };
  hooks.progress = [&](const State<double>& state) { EXPECT_EQ(state.step, steps_seen++); };
  hooks.observe = [&](std::span<const double>, Record& record) { record.loss_test = 17; };
  const auto trained = test::train_on(world, test::odd_problem(), options, hooks);
  EXPECT_EQ(checkpoints, (std::vector<Index>{70, 140, 210, 280}));
  EXPECT_EQ(steps_seen, 301);
  const auto& history = trained.state.history;
  ASSERT_GT(history.size(), 50u);
  EXPECT_LT(history.size(), 90u);
  for (std::size_t i = 0; i < history.size(); ++i) {
    EXPECT_EQ(history[i].loss_test, 17);
    if (i <= 20)
      EXPECT_EQ(history[i].step, static_cast<Index>(i));
    else
      EXPECT_LE(static_cast<double>(history[i].step),
                1.1 * static_cast<double>(history[i - 1].step));
  }
  EXPECT_EQ(history.back().step, 300);
}

TEST_F(EndingTest, DivergenceEndsTheRunOnAllRanksAndSaysWhatToChange) {
  const auto problem = test::dense_problem("dense(8) softplus dense(1)", 15, 3, 1, {});
  Options options;
  options.steps = 1000;
  options.rate = 50 * test::automatic_rate(self, problem);
  std::vector<std::string> said;
  Hooks<double> hooks;
  hooks.say = [&](const std::string& line) { said.push_back(line); };
  try {
    test::train_on(world, problem, options, hooks);
    FAIL() << "it did not diverge";
  } catch (const RunError& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.substr(0, 17), "diverged at step ") << what;
    EXPECT_NE(what.find("2/lambda_max"), std::string::npos) << what;
    EXPECT_NE(what.find("smaller `rate`"), std::string::npos) << what;
  }
  EXPECT_EQ(said.size(), world.root() ? 1u : 0u);
  for (const auto& line : said) EXPECT_NE(line.find("expect it to diverge"), std::string::npos);
}

TEST_F(EndingTest, TargetsThatAreNotFiniteEndTheRunAtTheStart) {
  auto problem = test::odd_problem();
  problem.Y(0, problem.n - 1) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(test::train_on(world, problem, {}), RunError);
}

TEST_F(EndingTest, ARateWithinTheLimitIsNotWarnedOf) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 30;
  options.rate = test::automatic_rate(self, problem);
  Hooks<double> hooks;
  hooks.say = [&](const std::string& line) { ADD_FAILURE() << line; };
  const auto trained = test::train_on(world, problem, options, hooks);
  EXPECT_NEAR(trained.state.lambda_max * options.rate, 1, 0.2);
}

TEST_F(EndingTest, WithoutAGradientNoRateCanBeMeasured) {
  auto problem = test::odd_problem();
  std::ranges::fill(problem.w, 0.0);
  arch::Options scales;
  problem.network = net::Network(arch::parse("dense(12) tanh dense(9) relu dense(2)", scales), 3,
                                 net::Parametrization::ntk, net::Start::antisymmetric);
  EXPECT_THROW(test::train_on(world, problem, {}), RunError);
}

TEST_F(EndingTest, SizesThatDoNotFitAreRefused) {
  const auto problem = test::odd_problem();
  const auto run = [&](auto&& spoil) {
    auto sets = problem.parts(world);
    auto state = test::start<double>(problem);
    spoil(sets, state);
    descend<double>(world, problem.network, sets, state, problem.w, {}, {}, {});
  };
  EXPECT_THROW(run([](auto& sets, auto&) { sets.clear(); }), InputError);
  EXPECT_THROW(run([](auto&, auto& state) { state.w.pop_back(); }), InputError);
  EXPECT_THROW(run([](auto&, auto& state) { state.velocity.resize(3); }), InputError);
  EXPECT_THROW(run([](auto& sets, auto&) { sets[0].X = Matrix<double>(2, sets[0].rows()); }),
               InputError);
  EXPECT_THROW(run([](auto& sets, auto&) { sets[0].Y = Matrix<double>(3, sets[0].rows()); }),
               InputError);
  EXPECT_THROW(run([](auto& sets, auto&) { sets[0].Y = Matrix<double>(2, sets[0].rows() + 1); }),
               InputError);
  EXPECT_THROW(run([](auto& sets, auto&) {
                 sets[0].S = msk::Preconditioner<double>(Matrix<double>(1, sets[0].rows() + 1, 1.0),
                                                         {-0.5});
               }),
               InputError);
  Options options;
  options.refresh = 3;
  EXPECT_THROW(test::train_on(world, problem, options), InputError);
}

TEST_F(EndingTest, AFreshSIsTakenWhenItIsDueAndTheRateMeasuredAgain) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 9;
  options.refresh = 4;
  options.record_every = 1;
  std::vector<Index> asked_at;
  Index step = 0;
  Hooks<double> hooks;
  hooks.progress = [&](const State<double>& state) { step = state.step; };
  hooks.preconditioner = [&](RowSet<double>& set, std::size_t number, std::span<const double> w) {
    EXPECT_EQ(number, 0u);
    EXPECT_EQ(w.size(), problem.w.size());
    asked_at.push_back(step);
    // Fewer modes: an S of another size.
    const auto part = test::odd_problem(test::flattening(3)).part(world);
    set.S = msk::Preconditioner<double>(part.S.vectors().copy(), part.S.coefficients());
  };
  const auto trained = test::train_on(world, problem, options, hooks);
  EXPECT_EQ(asked_at, (std::vector<Index>{4, 8}));
  EXPECT_EQ(trained.state.s_version, 2);
  const auto other = test::odd_problem(test::flattening(3));
  Options first = options;
  first.refresh = 0;
  first.steps = 4;
  auto twin = test::train_on(world, problem, first);
  // From there on: a new run with the other S.
  auto restart = test::start<double>(other);
  restart.w = twin.state.w;
  auto sets = other.parts(world);
  first.steps = 4;
  descend<double>(world, other.network, sets, restart, other.w, first, {}, {});
  options.steps = 8;
  options.refresh = 4;
  const auto again = test::train_on(world, problem, options, hooks);
  EXPECT_TRUE(test::largest_difference(restart.w, again.state.w) <= 1e-13);
}

}  // namespace
}  // namespace mercer::train
