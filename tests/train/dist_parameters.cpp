#include <algorithm>
#include <numbers>

#include "dense.hpp"
#include "mercer/base/error.hpp"
#include "mercer/train/gradient_sum.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;
using test::OwnPairs;

struct ParameterTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator self = world.split(world.rank(), 0);

  test::Trained train(const comm::Communicator& comm, const DenseProblem& problem, Index k,
                      const Options& options) {
    auto sets = test::parameter_sets(comm, problem, k);
    test::Trained trained{test::start<double>(problem), {}};
    trained.outcome =
        descend<double>(comm, problem.network, sets, trained.state, problem.w, options, {}, {});
    return trained;
  }
};

/// A problem whose network is linear in w: its linearisation is itself.
DenseProblem linear_problem(net::Start start) {
  return test::dense_problem("dense(1)", 23, 12, 1, {}, 1, start);
}

/// The S of one output on residuals, of the same pairs.
void take_for_residuals(const OwnPairs& pairs, DenseProblem& problem) {
  problem.coefficients = pairs.coefficients;
  problem.V = Matrix<double>(pairs.V.cols(), problem.n);
  for (Index i = 0; i < pairs.V.cols(); ++i)
    for (Index j = 0; j < problem.n; ++j) problem.V(i, j) = pairs.V(j, i);
}

double norm(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

/// P x for the dense P = I + sum_i c_i psi_i psi_i^T, psi_i = J^T v_i/sqrt(n lambda_i).
std::vector<double> dense_P(const OwnPairs& pairs, Index n, std::vector<double> x) {
  const auto y = x;
  for (Index i = 0; i < pairs.V.cols(); ++i) {
    std::vector<double> psi(y.size(), 0.0);
    for (Index e = 0; e < pairs.V.rows(); ++e)
      for (std::size_t q = 0; q < psi.size(); ++q)
        psi[q] += pairs.J(static_cast<Index>(q), e) * pairs.V(e, i) /
                  std::sqrt(static_cast<double>(n) * pairs.lambda[static_cast<std::size_t>(i)]);
    double along = 0;
    for (std::size_t q = 0; q < psi.size(); ++q) along += psi[q] * y[q];
    for (std::size_t q = 0; q < psi.size(); ++q)
      x[q] += pairs.coefficients[static_cast<std::size_t>(i)] * along * psi[q];
  }
  return x;
}

TEST_F(ParameterTest, IsTheDensePOnEveryGradientForBothStartsAndAllNumbersOfRanks) {
  for (const auto start : {net::Start::antisymmetric, net::Start::gaussian})
    for (const Index k : {1, 7}) {
      auto problem =
          test::dense_problem("dense(12) tanh dense(9) relu dense(2)", 23, 3, 2, {}, 1, start);
      const OwnPairs pairs(problem, k);
      const auto P = test::on_parameters(world, problem, pairs);
      EXPECT_EQ(P.k(), k);
      EXPECT_EQ(P.layout().mirrored, start == net::Start::antisymmetric);
      const Index p = problem.network.parameters();
      EXPECT_EQ(world.all_reduce(P.layout().entries(), comm::Op::sum),
                P.layout().mirrored ? p / 2 : p);
      EXPECT_LE(static_cast<double>(P.layout().entries()),
                most_entries(problem.network, P.layout().mirrored, world.size()));
      // A gradient that does not respect the symmetry of the copies, as after the first steps.
      std::vector<double> whole(static_cast<std::size_t>(p));
      for (std::size_t i = 0; i < whole.size(); ++i)
        whole[i] = std::sin(static_cast<double>(3 * i + 1));
      auto g = whole;
      GradientSum<double> sum(world, g, {.in_halves = &problem.network});
      if (!world.root()) std::ranges::fill(g, 0.0);
      sum.reduce();
      P.apply(world, g);
      sum.gather();
      const auto expected = dense_P(pairs, problem.n, whole);
      EXPECT_LE(test::largest_difference(g, expected), 1e-13 * norm(whole));
      EXPECT_GT(test::largest_difference(g, whole), 1e-3 * norm(whole));
    }
}

TEST_F(ParameterTest, DirectionsAreOrthonormalInBothPrecisions) {
  const auto problem = test::odd_problem({});
  const OwnPairs pairs(problem, 9);
  const auto check = [&](const auto& P, double tolerance) {
    for (Index i = 0; i < P.k(); ++i)
      for (Index j = 0; j <= i; ++j) {
        const auto a = P.gathered(world, i), b = P.gathered(world, j);
        double sum = 0;
        for (std::size_t q = 0; q < a.size(); ++q)
          sum += static_cast<double>(a[q]) * static_cast<double>(b[q]);
        EXPECT_NEAR(sum, i == j ? 1 : 0, tolerance) << i << " " << j;
      }
  };
  check(test::on_parameters(world, problem, pairs), 1e-14);
  check(test::on_parameters<float>(world, problem, pairs), 1e-6);
}

TEST_F(ParameterTest, OnAllRowsAStepIsThatOfSOnResiduals) {
  // One output: the same S on residuals.
  auto problem = test::dense_problem("dense(16) tanh dense(9) relu dense(1)", 23, 3, 1, {});
  const OwnPairs pairs(problem, 6);
  take_for_residuals(pairs, problem);
  Options options;
  options.steps = 1;
  options.rate = 0.02;
  const auto of_residuals = test::train_on(world, problem, options);
  const auto of_parameters = train(world, problem, 6, options);
  const double moved = test::largest_difference(of_residuals.state.w, problem.w);
  EXPECT_GT(moved, 1e-6);
  EXPECT_LE(test::largest_difference(of_residuals.state.w, of_parameters.state.w), 1e-12 * moved);
}

TEST_F(ParameterTest, OnALinearNetworkTwentyStepsAreThoseOfSOnResiduals) {
  for (const auto start : {net::Start::antisymmetric, net::Start::gaussian}) {
    auto problem = linear_problem(start);
    const OwnPairs pairs(problem, 5);
    take_for_residuals(pairs, problem);
    Options options;
    options.steps = 20;
    options.rate = 0.5 / (static_cast<double>(problem.n) * pairs.next);
    const auto of_residuals = test::train_on(world, problem, options);
    const auto of_parameters = train(world, problem, 5, options);
    EXPECT_LE(test::largest_difference(of_residuals.state.w, of_parameters.state.w),
              1e-10 * test::largest_difference(of_residuals.state.w, problem.w));
  }
}

TEST_F(ParameterTest, AStepTakesTheBatchAloneAlsoTheLastShortOne) {
  // The plain twin: one rank, dense P, rows of the epoch's permutation.
  const auto problem = test::odd_problem({});
  const Index n = problem.n, c = problem.outputs(), batch = 5, pieces = ceil_div(n, batch), k = 6;
  Options options;
  options.steps = 2 * pieces;
  options.rate = 0.05;
  options.batch = batch;
  const auto trained = train(world, problem, k, options);

  const OwnPairs pairs(problem, k);
  auto w = problem.w;
  std::vector<Index> order(static_cast<std::size_t>(n));
  std::vector<int> seen(static_cast<std::size_t>(n), 0);
  for (Index t = 0; t < options.steps; ++t) {
    random_order(order, Random(options.seed, Stream::batches),
                 static_cast<std::uint64_t>(t / pieces * n));
    const dist::RowPartition parts{n, static_cast<int>(pieces)};
    const int piece = static_cast<int>(t % pieces);
    const auto r = problem.residual(w);
    Matrix<double> seed(problem.entries(), 1, 0.0);
    for (Index i = parts.begin(piece); i < parts.end(piece); ++i) {
      const Index row = order[static_cast<std::size_t>(i)];
      ++seen[static_cast<std::size_t>(row)];
      for (Index a = 0; a < c; ++a) seed(a + row * c, 0) = r(a, row);
    }
    const auto g = test::product(problem.jacobian(w), seed, false);
    const auto step = dense_P(pairs, n, {g.data(), g.data() + g.size()});
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= options.rate * step[i];
  }
  EXPECT_EQ(seen, std::vector<int>(static_cast<std::size_t>(n), 2));
  EXPECT_LE(test::largest_difference(trained.state.w, w), 1e-12);
}

TEST_F(ParameterTest, TrainsTheSameForEveryNumberOfRanks) {
  const auto problem = test::odd_problem({});
  Options options;
  options.steps = 30;
  options.batch = 4;
  const auto many = train(world, problem, 6, options), one = train(self, problem, 6, options);
  EXPECT_LE(test::largest_difference(many.state.w, one.state.w), 1e-9);
  EXPECT_NEAR(many.state.history.back().loss / one.state.history.back().loss, 1, 1e-9);
  EXPECT_DOUBLE_EQ(many.state.bound, one.state.bound);
}

TEST_F(ParameterTest, AnSOfAnotherNetworkIsRefused) {
  const auto problem = test::odd_problem({});
  const auto other = test::dense_problem("dense(5) tanh dense(2)", 23, 3, 2, {});
  auto sets = test::parameter_sets(world, problem, 6);
  sets[0].P = std::move(test::parameter_sets(world, other, 6)[0].P);
  auto state = test::start<double>(problem);
  EXPECT_THROW(descend<double>(world, problem.network, sets, state, problem.w, {}, {}, {}),
               InputError);
}

TEST_F(ParameterTest, AStepSendsAsMuchAsAPlainOneAndKNumbers) {
  const auto problem = test::odd_problem({});
  Options options;
  options.steps = 20;
  options.batch = 4;
  options.rate = 1e-3;
  options.residual_refresh = 1000;
  const Index k = 6, numbers = problem.network.parameters() + k + 3;
  EXPECT_EQ(train(world, problem, k, options).outcome.bytes_per_step,
            static_cast<double>(world.size() > 1 ? 8 * numbers : 0));
}

/// Points on the circle, where K_0's eigenvalues come in pairs and fall quickly.
DenseProblem circle_problem(Index n) {
  auto problem = test::dense_problem("dense(512) relu dense(1)", n, 2, 1, {}, 0.03);
  for (Index j = 0; j < n; ++j) {
    const double t = 2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(n);
    problem.X(0, j) = std::cos(t), problem.X(1, j) = std::sin(t);
    problem.Y(0, j) = 0.03 * std::sin(3 * t);
  }
  return problem;
}

TEST_F(ParameterTest, TheAutomaticRateIsThatOfTheBoundAndAFewTimesItDiverges) {
  const auto problem = circle_problem(32);
  const Index k = 12;
  const OwnPairs pairs(problem, k);
  for (const Index batch : {Index{1}, Index{8}}) {
    Options options;
    options.batch = batch;
    options.steps = 20 * ceil_div(problem.n, batch);
    const auto well = train(world, problem, k, options);
    const double B = static_cast<double>(batch);
    EXPECT_NEAR(well.state.bound * (pairs.beta(problem) + (B - 1) * pairs.next), 1, 1e-9);
    EXPECT_EQ(well.state.rejected, 0);
    EXPECT_LT(well.state.history.back().residual, 0.01) << batch;
    options.momentum = 0.9;  // a tenth of the rate, for as much noise
    const auto heavy = train(world, problem, k, options);
    EXPECT_NEAR(heavy.state.bound, 0.1 * well.state.bound, 1e-12 * well.state.bound);
    EXPECT_LT(heavy.state.history.back().residual, 0.05) << batch;
    options.momentum = 0;
    options.rate = 8 * well.state.bound;
    EXPECT_THROW(
        {
          options.steps *= 50;
          train(world, problem, k, options);
        },
        RunError)
        << batch;
  }
}

TEST_F(ParameterTest, AnSThatIsTheIdentityAtFirstIsAppliedOnceItIsComputedAgain) {
  const auto problem = circle_problem(32);
  const Index k = 12, pieces = 4;
  Options options;
  options.batch = problem.n / pieces;
  options.steps = 2 * pieces;
  const auto P = [&] { return std::move(test::parameter_sets(world, problem, k)[0].P); };
  const BatchBound bound = P().bound();
  options.rate = 0.01 * bound.rate(options.batch);  // with S = I too
  const auto run = [&](bool with_S, Index refresh, Index steps, test::Trained trained) {
    auto sets = test::parameter_sets(world, problem, k);
    if (!with_S) sets[0].P = ParameterPreconditioner<double>(bound);
    options.refresh = refresh;
    options.steps = steps;
    Hooks<double> hooks;
    hooks.preconditioner = [&](RowSet<double>& set, std::size_t, std::span<const double>) {
      set.P = P();
    };
    trained.outcome =
        descend<double>(world, problem.network, sets, trained.state, problem.w, options, {}, hooks);
    return trained;
  };
  const auto start = [&] { return test::Trained{test::start<double>(problem), {}}; };
  const auto refreshed = run(false, pieces, 2 * pieces, start());
  const auto both = run(true, 0, 2 * pieces, run(false, 0, pieces, start()));
  const auto plain = run(false, 0, 2 * pieces, start());
  double largest = 0, change = 0;
  for (std::size_t i = 0; i < problem.w.size(); ++i) {
    largest = std::max(largest, std::abs(refreshed.state.w[i] - both.state.w[i]));
    change = std::max(change, std::abs(both.state.w[i] - plain.state.w[i]));
  }
  EXPECT_GT(change, 1e-6);
  EXPECT_LE(largest, 1e-12 * change);
}

TEST_F(ParameterTest, TheSafeguardTakesBackEpochsThatTheRateSpoils) {
  auto problem = circle_problem(32);
  for (Index i = 0; i < problem.Y.size(); ++i) problem.Y.data()[i] *= 300;  // not linear any more
  Options options;
  options.batch = 4;
  options.steps = 400;
  options.safety = 1.9;
  const auto with = train(world, problem, 12, options);
  EXPECT_GT(with.state.rejected, 0);
  EXPECT_LT(with.state.history.back().residual, 0.9);
  // What it goes back to is part of the state.
  for (const Index first : {20, 43}) {
    options.steps = first;
    auto sets = test::parameter_sets(world, problem, 12);
    auto state = test::start<double>(problem);
    descend<double>(world, problem.network, sets, state, problem.w, options, {}, {});
    options.steps = 400;
    descend<double>(world, problem.network, sets, state, problem.w, options, {}, {});
    EXPECT_EQ(state.w, with.state.w);
    EXPECT_EQ(state.rejected, with.state.rejected);
  }
}

/// w_0 + the minimiser of |J P^(1/2) z - y|^2 + L |z|^2, moved by P^(1/2): J^T S alpha in dense form,
/// alpha = (J J^T S + L I)^-1 (Y - f_0).
std::vector<double> ridge(const DenseProblem& problem, const Matrix<double>& J,
                          const Matrix<double>& S, double L) {
  const Index N = problem.entries();
  auto A = test::product(test::product(J, J, true), S, false);
  Matrix<double> b = problem.residual(problem.w);
  std::vector<double> x(b.data(), b.data() + b.size());
  for (Index i = 0; i < N; ++i) A(i, i) += L;
  for (Index c = 0; c < N; ++c) {  // Gauss elimination with pivots
    Index pivot = c;
    for (Index i = c; i < N; ++i)
      if (std::abs(A(i, c)) > std::abs(A(pivot, c))) pivot = i;
    for (Index j = 0; j < N; ++j) std::swap(A(c, j), A(pivot, j));
    std::swap(x[static_cast<std::size_t>(c)], x[static_cast<std::size_t>(pivot)]);
    for (Index i = 0; i < N; ++i) {
      if (i == c) continue;
      const double factor = A(i, c) / A(c, c);
      for (Index j = c; j < N; ++j) A(i, j) -= factor * A(c, j);
      x[static_cast<std::size_t>(i)] -= factor * x[static_cast<std::size_t>(c)];
    }
  }
  Matrix<double> alpha(N, 1);
  for (Index i = 0; i < N; ++i) alpha(i, 0) = x[static_cast<std::size_t>(i)] / A(i, i);
  const auto moved = test::product(J, test::product(S, alpha, false), false);
  auto w = problem.w;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] -= moved.data()[i];
  return w;
}

TEST_F(ParameterTest, WeightDecayToTheStartEndsAtRidgeRegressionOnBatchesToo) {
  auto problem = linear_problem(net::Start::gaussian);
  const OwnPairs pairs(problem, 5);
  const double L = 3;
  take_for_residuals(pairs, problem);
  const auto with_S = ridge(problem, pairs.J, problem.S(), L);
  Options options;
  options.weight_decay = L;
  options.steps = 4000;
  const double moved = test::largest_difference(with_S, problem.w);
  EXPECT_LE(test::largest_difference(test::train_on(world, problem, options).state.w, with_S),
            1e-9 * moved);
  // On batches the step must fall for the noise to vanish: here it stays, and so does a part of it.
  options.batch = 6;
  options.steps = 40000;
  options.rate = 1e-3 / (pairs.beta(problem) + L);
  EXPECT_LE(test::largest_difference(train(world, problem, 5, options).state.w, with_S),
            0.01 * moved);
  // Without S, and towards zero: (J^T J + L) w = J^T Y for a network that is linear in w.
  problem.coefficients.clear();
  problem.V = Matrix<double>(0, problem.n);
  const auto plain = ridge(problem, pairs.J, problem.S(), L);
  options = {.steps = 4000, .weight_decay = L};
  EXPECT_LE(test::largest_difference(test::train_on(world, problem, options).state.w, plain),
            1e-9 * moved);
  options.decay_to = DecayTo::zero;
  const auto to_zero = test::train_on(world, problem, options).state.w;
  auto from_zero = linear_problem(net::Start::gaussian);
  std::ranges::fill(from_zero.w, 0.0);
  EXPECT_LE(test::largest_difference(to_zero, ridge(from_zero, pairs.J, problem.S(), L)),
            1e-9 * moved);
  EXPECT_GT(test::largest_difference(to_zero, plain), 0.01 * moved);
}

TEST_F(ParameterTest, BothKindsOfSAtOnceAreRefused) {
  auto problem = test::odd_problem();
  auto sets = test::parameter_sets(world, problem, 3);
  sets[0].S = problem.part(world).S;
  auto state = test::start<double>(problem);
  EXPECT_THROW(descend<double>(world, problem.network, sets, state, problem.w, {}, {}, {}),
               InputError);
}

TEST_F(ParameterTest, DependentDirectionsAreRefused) {
  const auto problem = test::odd_problem({});
  OwnPairs pairs(problem, 3);
  std::copy_n(pairs.V.column(0), pairs.V.rows(), pairs.V.column(2));
  pairs.lambda[2] = pairs.lambda[0];
  EXPECT_THROW(test::on_parameters(world, problem, pairs), RunError);
}

}  // namespace
}  // namespace mercer::train
