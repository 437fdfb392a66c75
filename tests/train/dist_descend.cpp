#include <algorithm>
#include <cmath>

#include "dense.hpp"
#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct DescendTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator self = world.split(world.rank(), 0);
};

TEST_F(DescendTest, OneStepMovesByTheDenseJTransposedSR) {
  for (const auto& c : {std::vector<double>{}, test::flattening(6), {5.0, 3.0, 40.0}}) {
    const auto problem = test::odd_problem(c);
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
  const auto problem = test::odd_problem();
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
  options.rate = test::automatic_rate(self, problem);
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

TEST_F(DescendTest, TracedDirectionsFollowTheirPrediction) {
  // K = J J^T/n at w_0 and an S of its own eigenvectors: theory is exact in the linear regime.
  auto problem = test::dense_problem("dense(2048) tanh dense(1)", 12, 2, 1, {}, 1e-6);
  const Index n = problem.n;
  const auto J = problem.jacobian(problem.w);
  auto vectors = test::product(J, J, true);
  const auto ascending = blas::syevd(vectors.view());
  const dist::ProcessGrid grid(world);
  spectral::Eigenpairs<double> pairs{.vectors = dist::DistMatrix<double>(grid, n, n, 3)};
  pairs.vectors.fill([&](Index i, Index v) { return vectors(i, n - 1 - v); });
  for (Index v = 0; v < n; ++v)
    pairs.values.push_back(ascending[static_cast<std::size_t>(n - 1 - v)] / static_cast<double>(n));
  const Index k = 5;
  std::vector<double> ratio(static_cast<std::size_t>(n), 1.0);
  problem.V = Matrix<double>(k, n);
  for (Index v = 0; v < k; ++v) {
    ratio[static_cast<std::size_t>(v)] =
        pairs.values[k] / pairs.values[static_cast<std::size_t>(v)];
    problem.coefficients.push_back(ratio[static_cast<std::size_t>(v)] - 1);
    for (Index j = 0; j < n; ++j) problem.V(v, j) = vectors(j, n - 1 - v);
  }
  const std::vector<Index> which{1, 2, 4, 7, 10};
  const Directions<double> directions(pairs, which, ratio);
  Options options;
  options.steps = 40;
  options.record_every = 1;
  options.safety = 0.7;
  auto sets = problem.parts(world);
  auto state = test::start<double>(problem);
  descend<double>(world, problem.network, sets, state, problem.w, options, directions, {});
  Index compared = 0;
  for (const Record& record : state.history) {
    ASSERT_EQ(record.directions.size(), which.size());
    ASSERT_EQ(record.predicted.size(), which.size());
    for (std::size_t i = 0; i < which.size(); ++i, ++compared)
      EXPECT_NEAR(record.directions[i], record.predicted[i], 1e-4 * state.first_residual);
  }
  EXPECT_EQ(compared, 41 * 5);
  // All of them shrink, the first five alike: (1 - 0.7)^t of what they were.
  EXPECT_LT(state.history[10].predicted[0], 1e-5 * state.history[0].predicted[0]);
  EXPECT_GT(state.history[0].directions[0], 0.1 * state.first_residual);
}

TEST_F(DescendTest, GradientDescentIsTheSameWithNoSAndWithOneThatIsTheIdentity) {
  Options options;
  options.steps = 12;
  const auto none = test::train_on(world, test::odd_problem({}), options);
  const auto identity = test::train_on(world, test::odd_problem({0, 0, 0}), options);
  EXPECT_EQ(none.state.w, identity.state.w);
  EXPECT_EQ(none.state.rate, identity.state.rate);
}

TEST_F(DescendTest, TrainsTheSameForEveryNumberOfRanks) {
  for (const bool overlap : {true, false}) {
    const auto problem = test::odd_problem();
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
  const auto trained = test::train_on(world, test::odd_problem(), options);
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
  const auto problem = test::odd_problem(test::flattening(k));
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

/// With weight decay towards the start and towards zero, with and without momentum.
void expect_the_plain_twin(const comm::Communicator& world, const char* architecture) {
  const auto problem = test::dense_problem(architecture, 11, 3, 1, {}, 1, net::Start::gaussian);
  const ScalarTwin twin{3, 7, std::sqrt(2.0), 0.5};
  const net::Range trained_range = problem.network.trained().front();
  for (const double momentum : {0.0, 0.8})
    for (const double decay : {0.0, 0.3, -0.3}) {  // negative: towards zero
      Options options;
      options.decay_to = decay < 0 ? DecayTo::zero : DecayTo::start;
      options.steps = 15;
      options.rate = 0.02;
      options.momentum = momentum;
      options.weight_decay = std::abs(decay);
      const auto trained = test::train_on(world, problem, options);

      auto w = problem.w;
      std::vector<double> v(w.size(), 0.0);
      for (Index t = 0; t < options.steps; ++t) {
        std::vector<double> g(w.size(), 0.0);
        for (Index j = 0; j < problem.n; ++j) {
          const double r = twin.output(w, problem.X.column(j), nullptr, 0) - problem.Y(0, j);
          twin.output(w, problem.X.column(j), &g, r);
        }
        for (auto i = static_cast<std::size_t>(trained_range.first);
             i < static_cast<std::size_t>(trained_range.first + trained_range.count); ++i) {
          const double center = decay < 0 ? 0 : problem.w[i];
          v[i] = momentum * v[i] - options.rate * (g[i] + std::abs(decay) * (w[i] - center));
          w[i] += v[i];
        }
      }
      EXPECT_TRUE(test::largest_difference(trained.state.w, w) <= 1e-12)
          << momentum << " " << decay;
      EXPECT_EQ(trained.state.velocity.size(), momentum > 0 ? w.size() : 0);
    }
}

TEST_F(DescendTest, MomentumAndWeightDecayAreThoseOfAPlainTwin) {
  expect_the_plain_twin(world, "dense(7) tanh dense(1)");
}

TEST_F(DescendTest, FixedLayersNeitherMoveNorDecay) {
  expect_the_plain_twin(world, "dense(7) tanh dense(1,fixed)");
  expect_the_plain_twin(world, "dense(7,fixed) tanh dense(1)");
  // With the line search too, which keeps the parameters before a step apart.
  const auto problem = test::dense_problem("dense(7) tanh dense(1,fixed)", 11, 3, 1, {});
  Options options{.steps = 30, .weight_decay = 0.1, .decay_to = DecayTo::zero};
  const auto w = test::train_on(world, problem, options).state.w;
  const auto ranges = problem.network.trained();
  Index moved = 0;
  for (Index i = 0; i < std::ssize(w); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const bool free = std::ranges::any_of(
        ranges, [i](const auto& r) { return i >= r.first && i < r.first + r.count; });
    if (free)
      moved += w[at] != problem.w[at] ? 1 : 0;
    else
      EXPECT_EQ(w[at], problem.w[at]) << i;
  }
  EXPECT_GT(moved, 40);
}

}  // namespace
}  // namespace mercer::train
