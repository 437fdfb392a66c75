#include <algorithm>
#include <limits>

#include "dense.hpp"
#include "mercer/base/error.hpp"
#include "mercer/train/rate.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct DescendTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator self = world.split(world.rank(), 0);
};

DenseProblem example(std::vector<double> coefficients = test::flattening(6)) {
  return test::dense_problem("dense(12) tanh dense(9) relu dense(2)", 23, 3, 2,
                             std::move(coefficients));
}

/// One automatic step's rate, to give it.
double automatic_rate(const comm::Communicator& comm, const DenseProblem& problem) {
  net::Evaluator<double> evaluator(problem.network, problem.n);
  const auto rows = problem.part(comm);
  return 1 / largest_eigenvalue<double>(comm, evaluator, problem.w, rows, 0).lambda_max;
}

TEST_F(DescendTest, OneStepMovesByTheDenseJTransposedSR) {
  for (const auto& c : {std::vector<double>{}, test::flattening(6), {5.0, 3.0, 40.0}}) {
    const auto problem = example(c);
    Options options;
    options.steps = 1;
    options.rate = 1;
    const auto trained = test::train_on(world, problem, options);
    auto r = problem.residual(problem.w);
    const Index p = problem.network.parameters();
    Matrix<double> column(problem.entries(), 1);
    std::copy_n(r.data(), r.size(), column.data());
    const auto g = test::product(problem.jacobian(problem.w),
                                 test::product(problem.S(), column, false), false);
    ASSERT_EQ(g.size(), p);
    double largest = 0, size = 0;
    for (Index i = 0; i < p; ++i) {
      const auto at = static_cast<std::size_t>(i);
      largest = std::max(largest, std::abs(problem.w[at] - trained.state.w[at] - g.data()[i]));
      size = std::max(size, std::abs(g.data()[i]));
    }
    EXPECT_TRUE(largest <= 1e-12 * std::max(1.0, size)) << largest << " of " << size;
    EXPECT_GT(size, 0.1);
    EXPECT_EQ(trained.state.step, 1);
  }
}

TEST_F(DescendTest, TheLossesAreThoseOfTheDenseResidual) {
  const auto problem = example();
  Options options;
  options.steps = 3;
  const auto trained = test::train_on(world, problem, options);
  const auto r = problem.residual(trained.state.w);
  Matrix<double> column(problem.entries(), 1);
  std::copy_n(r.data(), r.size(), column.data());
  const auto Sr = test::product(problem.S(), column, false);
  double square = 0, weighted = 0;
  for (Index i = 0; i < r.size(); ++i) {
    square += r.data()[i] * r.data()[i];
    weighted += r.data()[i] * Sr.data()[i];
  }
  const Record& last = trained.state.history.back();
  EXPECT_EQ(last.step, 3);
  EXPECT_NEAR(last.loss, square / static_cast<double>(problem.entries()), 1e-12);
  EXPECT_NEAR(last.loss_preconditioned, weighted / 2, 1e-12);
  EXPECT_NEAR(last.residual * trained.state.first_residual, std::sqrt(square), 1e-11);
  double distance = 0;
  for (std::size_t i = 0; i < problem.w.size(); ++i)
    distance += std::pow(trained.state.w[i] - problem.w[i], 2);
  EXPECT_NEAR(last.distance, std::sqrt(distance), 1e-12);
}

TEST_F(DescendTest, InTheLinearRegimeTheResidualFollowsTheoryForEveryStep) {
  // Tiny targets: as good as an infinitely wide network.
  const auto problem =
      test::dense_problem("dense(4096) tanh dense(1)", 10, 2, 1, test::flattening(4), 1e-6);
  const Index n = problem.n;
  Options options;
  options.steps = 50;
  options.rate = automatic_rate(self, problem);
  options.record_every = 1;
  const auto J = problem.jacobian(problem.w);
  const auto A = test::product(test::product(J, J, true), problem.S(), false);
  std::vector<Matrix<double>> theory;
  Matrix<double> r(n, 1);
  for (Index i = 0; i < n; ++i) r(i, 0) = -problem.Y(0, i);
  for (Index t = 0; t <= options.steps; ++t) {
    theory.push_back(r.copy());
    const auto Ar = test::product(A, r, false);
    for (Index i = 0; i < n; ++i) r(i, 0) -= options.rate * Ar(i, 0);
  }
  Index compared = 0;
  Hooks<double> hooks;
  hooks.observe = [&](std::span<const double> w, Record& record) {
    const auto found = problem.residual({w.begin(), w.end()});
    const auto& expected = theory[static_cast<std::size_t>(record.step)];
    for (Index i = 0; i < n; ++i, ++compared)
      EXPECT_NEAR(found(0, i), expected(i, 0), 1e-4 * 1e-6) << "step " << record.step;
  };
  test::train_on(world, problem, options, hooks);
  EXPECT_EQ(compared, n * (options.steps + 1));
}

TEST_F(DescendTest, GradientDescentIsTheSameWithNoSAndWithOneThatIsTheIdentity) {
  Options options;
  options.steps = 12;
  const auto none = test::train_on(world, example({}), options);
  const auto identity = test::train_on(world, example({0, 0, 0}), options);
  EXPECT_EQ(none.state.w, identity.state.w);
  EXPECT_EQ(none.state.rate, identity.state.rate);
}

TEST_F(DescendTest, TrainsTheSameForEveryNumberOfRanks) {
  for (const bool overlap : {true, false}) {
    const auto problem = example();
    Options options;
    options.steps = 25;
    options.overlap = overlap;
    const auto many = test::train_on(world, problem, options);
    const auto one = test::train_on(self, problem, options);
    EXPECT_TRUE(test::largest_difference(many.state.w, one.state.w) <= 1e-9);
    ASSERT_EQ(many.state.history.size(), one.state.history.size());
    for (std::size_t i = 0; i < one.state.history.size(); ++i)
      EXPECT_NEAR(many.state.history[i].loss / one.state.history[i].loss, 1, 1e-9);
  }
}

TEST_F(DescendTest, HoldsTheSameBitsOnEveryRank) {
  Options options;
  options.steps = 10;
  const auto trained = test::train_on(world, example(), options);
  auto low = trained.state.w, high = trained.state.w;
  world.all_reduce(std::span<double>(low), comm::Op::min);
  world.all_reduce(std::span<double>(high), comm::Op::max);
  EXPECT_EQ(low, high);
}

TEST_F(DescendTest, RanksWithoutRowsTakePart) {
  const auto problem = test::dense_problem("dense(6) tanh dense(1)", 2, 3, 1, {-0.5});
  Options options;
  options.steps = 10;
  const auto many = test::train_on(world, problem, options);
  const auto one = test::train_on(self, problem, options);
  EXPECT_TRUE(test::largest_difference(many.state.w, one.state.w) <= 1e-11);
}

TEST_F(DescendTest, AStepSendsTheGradientAndVTransposedRAndThreeNumbers) {
  const Index k = 6;
  const auto problem = example(test::flattening(k));
  Options options;
  options.steps = 1;
  options.rate = 1e-3;
  options.record_every = 1000;
  const auto before_one = comm::bytes_sent();
  test::train_on(world, problem, options);
  const auto one = comm::bytes_sent() - before_one;
  options.steps = 11;
  const auto before_many = comm::bytes_sent();
  const auto trained = test::train_on(world, problem, options);
  const auto ten = comm::bytes_sent() - before_many - one;
  const Index numbers = problem.network.parameters() + k * problem.outputs() + 3;
  const Index expected = world.size() > 1 ? 8 * numbers : 0;
  EXPECT_EQ(ten, 10 * expected);
  EXPECT_EQ(trained.outcome.bytes_per_step, static_cast<double>(expected));
}

// A plain network of one hidden layer and one output, in scalar code.
struct ScalarTwin {
  Index d, width;
  double weight_std, bias_std;

  double output(const std::vector<double>& w, const double* x, std::vector<double>* gradient,
                double seed) const {
    const double in = weight_std / std::sqrt(static_cast<double>(d));
    const double out = weight_std / std::sqrt(static_cast<double>(width));
    const auto at = [](Index i) { return static_cast<std::size_t>(i); };
    const Index b_0 = d * width, W_1 = b_0 + width, b_1 = W_1 + width;
    double f = bias_std * w[at(b_1)];
    if (gradient != nullptr) (*gradient)[at(b_1)] += seed * bias_std;
    for (Index h = 0; h < width; ++h) {
      double z = bias_std * w[at(b_0 + h)];
      for (Index i = 0; i < d; ++i) z += in * w[at(i * width + h)] * x[i];
      const double a = std::tanh(z), back = seed * out * w[at(W_1 + h)] * (1 - a * a);
      f += out * w[at(W_1 + h)] * a;
      if (gradient == nullptr) continue;
      (*gradient)[at(W_1 + h)] += seed * out * a;
      (*gradient)[at(b_0 + h)] += back * bias_std;
      for (Index i = 0; i < d; ++i) (*gradient)[at(i * width + h)] += back * in * x[i];
    }
    return f;
  }
};

TEST_F(DescendTest, MomentumAndWeightDecayAreThoseOfAPlainTwin) {
  const auto problem =
      test::dense_problem("dense(7) tanh dense(1)", 11, 3, 1, {}, 1, net::Start::gaussian);
  const ScalarTwin twin{3, 7, std::sqrt(2.0), 0.5};
  for (const double momentum : {0.0, 0.8})
    for (const double decay : {0.0, 0.3}) {
      Options options;
      options.steps = 15;
      options.rate = 0.02;
      options.momentum = momentum;
      options.weight_decay = decay;
      const auto trained = test::train_on(world, problem, options);

      auto w = problem.w;
      std::vector<double> v(w.size(), 0.0);
      for (Index t = 0; t < options.steps; ++t) {
        std::vector<double> g(w.size(), 0.0);
        for (Index j = 0; j < problem.n; ++j) {
          const double r = twin.output(w, problem.X.column(j), nullptr, 0) - problem.Y(0, j);
          twin.output(w, problem.X.column(j), &g, r);
        }
        for (std::size_t i = 0; i < w.size(); ++i) {
          v[i] = momentum * v[i] - options.rate * (g[i] + decay * w[i]);
          w[i] += v[i];
        }
      }
      EXPECT_TRUE(test::largest_difference(trained.state.w, w) <= 1e-12)
          << momentum << " " << decay;
      EXPECT_EQ(trained.state.velocity.size(), momentum > 0 ? w.size() : 0);
    }
}

TEST_F(DescendTest, StopsWhereItIsToldTo) {
  const auto problem = example();
  Options options;
  options.steps = 2000;
  options.record_every = 1;

  Options by_residual = options;
  by_residual.tolerance = 0.5;
  auto trained = test::train_on(world, problem, by_residual);
  EXPECT_EQ(trained.outcome.ending, Ending::converged);
  auto history = std::move(trained.state.history);
  EXPECT_LE(history.back().residual, 0.5);
  EXPECT_GT(history[history.size() - 2].residual, 0.5);
  EXPECT_EQ(history.back().step, trained.state.step);

  Options by_loss = options;
  by_loss.loss = history.back().loss;
  trained = test::train_on(world, problem, by_loss);
  EXPECT_EQ(trained.outcome.ending, Ending::loss_reached);
  EXPECT_EQ(trained.state.step, history.back().step);

  Options by_steps = options;
  by_steps.steps = 4;
  trained = test::train_on(world, problem, by_steps);
  EXPECT_EQ(trained.outcome.ending, Ending::all_steps);
  EXPECT_EQ(trained.state.step, 4);
  ASSERT_EQ(trained.state.history.size(), 5u);
  for (std::size_t t = 0; t < 5; ++t)
    EXPECT_EQ(trained.state.history[t].step, static_cast<Index>(t));

  Options by_time = options;
  by_time.steps = 100'000'000;
  by_time.record_every = 0;
  by_time.max_seconds = 0.05;
  trained = test::train_on(world, problem, by_time);
  EXPECT_EQ(trained.outcome.ending, Ending::out_of_time);
  EXPECT_GE(trained.state.seconds, 0.05);

  Options none = options;
  none.steps = 0;
  trained = test::train_on(world, problem, none);
  EXPECT_EQ(trained.outcome.ending, Ending::all_steps);
  EXPECT_EQ(trained.state.w, problem.w);
  EXPECT_EQ(trained.state.history.size(), 1u);
}

TEST_F(DescendTest, ASignalOnAnyRankEndsTheRunOnAllWithACheckpoint) {
  const auto problem = example();
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
  EXPECT_EQ(trained.outcome.ending, Ending::interrupted);
  EXPECT_EQ(trained.state.step, world.all_reduce(trained.state.step, comm::Op::max));
  EXPECT_GT(trained.state.step, 2);
  EXPECT_LT(trained.state.step, 10);
  EXPECT_EQ(written, trained.state.step);
  EXPECT_EQ(w_written, trained.state.w);
}

TEST_F(DescendTest, CheckpointsAndRecordsComeWhenTheyAreDue) {
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
  const auto trained = test::train_on(world, example(), options, hooks);
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

TEST_F(DescendTest, DivergenceEndsTheRunOnAllRanksAndSaysWhatToChange) {
  const auto problem = test::dense_problem("dense(8) softplus dense(1)", 15, 3, 1, {});
  Options options;
  options.steps = 1000;
  options.rate = 50 * automatic_rate(self, problem);
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
    EXPECT_NE(what.find("smaller --lr"), std::string::npos) << what;
  }
  EXPECT_EQ(said.size(), world.root() ? 1u : 0u);
  for (const auto& line : said) EXPECT_NE(line.find("expect it to diverge"), std::string::npos);
}

TEST_F(DescendTest, TargetsThatAreNotFiniteEndTheRunAtTheStart) {
  auto problem = example();
  problem.Y(0, problem.n - 1) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(test::train_on(world, problem, {}), RunError);
}

TEST_F(DescendTest, ARateWithinTheLimitIsNotWarnedOf) {
  const auto problem = example();
  Options options;
  options.steps = 30;
  options.rate = automatic_rate(self, problem);
  Hooks<double> hooks;
  hooks.say = [&](const std::string& line) { ADD_FAILURE() << line; };
  const auto trained = test::train_on(world, problem, options, hooks);
  EXPECT_NEAR(trained.state.lambda_max * options.rate, 1, 0.2);
}

TEST_F(DescendTest, WithoutAGradientNoRateCanBeMeasured) {
  auto problem = example();
  std::ranges::fill(problem.w, 0.0);
  arch::Options scales;
  problem.network = net::Network(arch::parse("dense(12) tanh dense(9) relu dense(2)", scales), 3,
                                 net::Parametrization::ntk, net::Start::antisymmetric);
  EXPECT_THROW(test::train_on(world, problem, {}), RunError);
}

TEST_F(DescendTest, SizesThatDoNotFitAreRefused) {
  const auto problem = example();
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
                 sets[0].S =
                     RowPreconditioner<double>(Matrix<double>(1, sets[0].rows() + 1, 1.0), {-0.5});
               }),
               InputError);
  Options options;
  options.refresh = 3;
  EXPECT_THROW(test::train_on(world, problem, options), InputError);
}

TEST_F(DescendTest, AFreshSIsTakenWhenItIsDueAndTheRateMeasuredAgain) {
  const auto problem = example();
  Options options;
  options.steps = 9;
  options.refresh = 4;
  options.record_every = 1;
  std::vector<Index> asked_at;
  Index step = 0;
  Hooks<double> hooks;
  hooks.progress = [&](const State<double>& state) { step = state.step; };
  hooks.preconditioner = [&](std::size_t set, std::span<const double> w) {
    EXPECT_EQ(set, 0u);
    EXPECT_EQ(w.size(), problem.w.size());
    asked_at.push_back(step);
    // Fewer modes: an S of another size.
    const auto part = example(test::flattening(3)).part(world);
    return RowPreconditioner<double>(part.S.vectors().copy(), part.S.coefficients());
  };
  const auto trained = test::train_on(world, problem, options, hooks);
  EXPECT_EQ(asked_at, (std::vector<Index>{4, 8}));
  EXPECT_EQ(trained.state.s_version, 2);
  const auto other = example(test::flattening(3));
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

// Continuing from the state after `first` steps equals an undisturbed run to the bit.
void expect_resumable(const comm::Communicator& world, const DenseProblem& problem, Options options,
                      Index first, bool by_signal) {
  options.steps = 20;
  const auto whole = test::train_on(world, problem, options);
  Hooks<double> hooks;
  Index step = 0;
  if (by_signal) {
    hooks.progress = [&](const State<double>& state) { step = state.step; };
    hooks.interrupted = [&] { return step >= first - 1; };
  } else {
    options.steps = first;
  }
  auto parts = test::train_on(world, problem, options, hooks);
  EXPECT_EQ(parts.state.step, first);
  EXPECT_NE(parts.state.w, whole.state.w);
  options.steps = 20;
  auto sets = problem.parts(world);
  descend<double>(world, problem.network, sets, parts.state, problem.w, options, {}, {});
  EXPECT_EQ(parts.state.w, whole.state.w);
  EXPECT_EQ(parts.state.velocity, whole.state.velocity);
  EXPECT_EQ(parts.state.rate, whole.state.rate);
  EXPECT_EQ(parts.state.rejected, whole.state.rejected);
  EXPECT_EQ(parts.state.projection, whole.state.projection);
}

TEST_F(DescendTest, ARunThatWasStoppedGoesOnAsIfItHadNot) {
  const auto problem = example();
  for (const bool by_signal : {false, true})
    for (const Index first : {7, 12}) {
      SCOPED_TRACE(fmt::format("first {} signal {}", first, by_signal));
      Options options;
      expect_resumable(world, problem, options, first, by_signal);
      options.momentum = 0.7;
      expect_resumable(world, problem, options, first, by_signal);
      options = {};
      options.batch = 5;
      expect_resumable(world, problem, options, first, by_signal);
      options.residual_refresh = 3;
      options.momentum = 0.5;
      expect_resumable(world, problem, options, first, by_signal);
    }
  // With a safeguard that has work to do.
  auto hard = test::dense_problem("dense(32) tanh dense(1)", 16, 2, 1, {}, 4);
  test::precondition_by_inverse(hard);
  Options options;
  options.steps = 20;
  EXPECT_GT(test::train_on(world, hard, options).state.rejected, 0);
  expect_resumable(world, hard, options, 7, false);
  expect_resumable(world, hard, options, 7, true);
}

TEST_F(DescendTest, TheSafeguardDecreasesTheLossWhereTheLinearModelFails) {
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

TEST_F(DescendTest, TheSafeguardDoesNothingInTheLinearRegime) {
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

TEST_F(DescendTest, SinglePrecisionConvergesAsFarAsItCanWithoutLosingItsRate) {
  auto problem = test::dense_problem("dense(512) tanh dense(1)", 20, 3, 1, {}, 0.1);
  test::precondition_by_inverse(problem);
  auto sets = problem.parts<float>(world);
  auto state = test::start<float>(problem);
  const auto w_0 = state.w;
  Options options;
  options.steps = 3000;
  options.tolerance = 1e-4;
  const auto outcome = descend<float>(world, problem.network, sets, state, w_0, options, {}, {});
  EXPECT_EQ(outcome.ending, Ending::converged) << state.history.back().residual;
  EXPECT_GE(state.rate, 0.2 * state.bound);
}

}  // namespace
}  // namespace mercer::train
