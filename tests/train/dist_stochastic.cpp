#include <algorithm>
#include <numbers>
#include <set>

#include "dense.hpp"
#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct StochasticTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  comm::Communicator self = world.split(world.rank(), 0);
};

/// Blocks of rows {b, b + blocks, ...}, each with an S of its own, by rows over `comm`.
std::vector<RowSet<double>> blocks_of(const comm::Communicator& comm, const DenseProblem& problem,
                                      Index blocks) {
  std::vector<RowSet<double>> sets;
  for (Index b = 0; b < blocks; ++b) {
    std::vector<Index> rows;
    for (Index i = b; i < problem.n; i += blocks) rows.push_back(i);
    const auto size = static_cast<Index>(rows.size());
    auto block = test::dense_problem("dense(12) tanh dense(9) relu dense(2)", size, 3, 2,
                                     test::flattening(std::min<Index>(size, 2 + b)));
    for (Index j = 0; j < size; ++j) {
      std::copy_n(problem.X.column(rows[static_cast<std::size_t>(j)]), 3, block.X.column(j));
      std::copy_n(problem.Y.column(rows[static_cast<std::size_t>(j)]), 2, block.Y.column(j));
    }
    sets.push_back(block.part(comm));
  }
  return sets;
}

test::Trained train_blocks(const comm::Communicator& comm, const DenseProblem& problem,
                           Index blocks, const Options& options, State<double>* from = nullptr) {
  auto sets = blocks_of(comm, problem, blocks);
  test::Trained trained{from != nullptr ? std::move(*from) : test::start<double>(problem), {}};
  trained.outcome =
      descend<double>(comm, problem.network, sets, trained.state, problem.w, options, {}, {});
  return trained;
}

TEST_F(StochasticTest, RowsTakesTheBatchRowsOfSRWithTheOthersAsLastSeen) {
  // The plain twin: one rank, all of r kept, V^T r formed anew in each step.
  const auto problem = test::odd_problem();
  const Index n = problem.n, c = problem.outputs(), batch = 5, pieces = ceil_div(n, batch);
  Options options;
  options.steps = 13;
  options.rate = 0.05;
  options.batch = batch;
  options.residual_refresh = 1000;
  const auto trained = test::train_on(world, problem, options);

  auto w = problem.w;
  auto seen = problem.residual(w);
  const auto S = problem.S();
  std::vector<Index> order;
  std::set<Index> all;
  for (Index t = 0; t < options.steps; ++t) {
    if (t % pieces == 0) {
      order.resize(static_cast<std::size_t>(n));
      for (Index i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
      const Random random(options.seed, Stream::batches);
      for (Index i = n - 1; i > 0; --i) {
        const double u = random.uniform(static_cast<std::uint64_t>(t / pieces * n + i));
        std::swap(order[static_cast<std::size_t>(i)],
                  order[static_cast<std::size_t>(u * static_cast<double>(i + 1))]);
      }
    }
    const dist::RowPartition parts{n, static_cast<int>(pieces)};
    const int piece = static_cast<int>(t % pieces);
    const auto now = problem.residual(w);
    std::vector<Index> rows(order.begin() + parts.begin(piece), order.begin() + parts.end(piece));
    all.insert(rows.begin(), rows.end());
    for (const Index j : rows)
      for (Index a = 0; a < c; ++a) seen(a, j) = now(a, j);
    Matrix<double> r(problem.entries(), 1);
    std::copy_n(seen.data(), seen.size(), r.data());
    const auto Sr = test::product(S, r, false);
    Matrix<double> seed(problem.entries(), 1, 0.0);
    for (const Index j : rows)
      for (Index a = 0; a < c; ++a) seed(a + j * c, 0) = Sr(a + j * c, 0);
    const auto g = test::product(problem.jacobian(w), seed, false);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= options.rate * g.data()[i];
  }
  EXPECT_EQ(static_cast<Index>(all.size()), n);
  EXPECT_TRUE(test::largest_difference(trained.state.w, w) <= 1e-12);
}

TEST_F(StochasticTest, BothFormsTrainTheSameForEveryNumberOfRanks) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 30;
  options.batch = 4;
  const auto many = test::train_on(world, problem, options);
  const auto one = test::train_on(self, problem, options);
  EXPECT_TRUE(test::largest_difference(many.state.w, one.state.w) <= 1e-9);
  EXPECT_NEAR(many.state.history.back().loss / one.state.history.back().loss, 1, 1e-9);

  options.stochastic = Stochastic::block;
  const auto blocks = train_blocks(world, problem, 4, options);
  const auto blocks_alone = train_blocks(self, problem, 4, options);
  EXPECT_TRUE(test::largest_difference(blocks.state.w, blocks_alone.state.w) <= 1e-9);
  EXPECT_NEAR(blocks.state.history.back().loss / blocks_alone.state.history.back().loss, 1, 1e-9);
}

TEST_F(StochasticTest, ASeedDrawsOtherBatches) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 5;
  options.batch = 4;
  const auto first = test::train_on(world, problem, options);
  options.seed = 1;
  options.rate = first.state.bound;
  const auto second = test::train_on(world, problem, options);
  EXPECT_NE(first.state.w, second.state.w);
}

TEST_F(StochasticTest, ABatchOfAllRowsIsAFullBatch) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 8;
  const auto full = test::train_on(world, problem, options);
  options.batch = problem.n;
  const auto batch = test::train_on(world, problem, options);
  EXPECT_EQ(full.state.w, batch.state.w);
}

TEST_F(StochasticTest, WithoutSRowsSeesTheBatchAlone) {
  // S = I: the gradient of the batch's own residual, however stale the others are.
  const auto problem = test::odd_problem({});
  Options options;
  options.steps = 12;
  options.batch = 6;
  options.rate = 0.05;
  options.residual_refresh = 1;
  const auto fresh = test::train_on(world, problem, options);
  options.residual_refresh = 1000;
  const auto stale = test::train_on(world, problem, options);
  EXPECT_EQ(fresh.state.w, stale.state.w);
}

TEST_F(StochasticTest, BlocksMoveAlongTheirOwnSRInAnOrderDrawnAnewEachEpoch) {
  const auto problem = test::odd_problem();
  const Index blocks = 4;
  Options options;
  options.rate = 0.05;
  const auto sets = blocks_of(self, problem, blocks);
  std::vector<double> w = problem.w;
  std::vector<std::vector<Index>> orders;
  // A step is one of the four blocks' steps: find out which.
  for (Index t = 0; t < 12; ++t) {
    options.steps = t + 1;
    const auto trained = train_blocks(world, problem, blocks, options);
    Index found = -1;
    std::vector<double> next;
    for (Index b = 0; b < blocks; ++b) {
      const auto& set = sets[static_cast<std::size_t>(b)];
      net::Evaluator<double> evaluator(problem.network, set.rows());
      Matrix<double> R(2, set.rows()), Z(2, set.rows());
      evaluator.outputs(w, set.X.view(), R.view());
      for (Index i = 0; i < R.size(); ++i) R.data()[i] -= set.Y.data()[i];
      set.S.apply(self, R.view(), Z.view());
      std::vector<double> g(w.size()), moved = w;
      evaluator.gradient(w, set.X.view(), Z.view(), g, false);
      for (std::size_t i = 0; i < w.size(); ++i) moved[i] -= options.rate * g[i];
      if (test::largest_difference(moved, trained.state.w) <= 1e-12) {
        EXPECT_EQ(found, -1);
        found = b;
        next = moved;
      }
    }
    ASSERT_GE(found, 0) << "step " << t;
    if (t % blocks == 0) orders.emplace_back();
    orders.back().push_back(found);
    w = next;
  }
  ASSERT_EQ(orders.size(), 3u);
  EXPECT_FALSE(orders[0] == orders[1] && orders[1] == orders[2]);
  for (auto order : orders) {
    std::ranges::sort(order);
    EXPECT_EQ(order, (std::vector<Index>{0, 1, 2, 3}));
  }
}

TEST_F(StochasticTest, BothFormsConvergeOnTheCircleConfirmedOnAllRows) {
  const Index n = 24;
  auto problem = test::dense_problem("dense(256) relu dense(1)", n, 2, 1, test::flattening(4));
  for (Index j = 0; j < n; ++j) {
    const double t = 2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(n);
    problem.X(0, j) = std::cos(t), problem.X(1, j) = std::sin(t);
    problem.Y(0, j) = std::sin(t) + 0.5 * std::cos(2 * t);
  }
  Options options;
  options.steps = 20000;
  options.tolerance = 0.05;
  options.batch = 6;
  const auto rows = test::train_on(world, problem, options);
  EXPECT_EQ(rows.outcome.stop_reason, StopReason::converged);
  const auto r = problem.residual(rows.state.w), r_0 = problem.residual(problem.w);
  double square = 0, first = 0;
  for (Index i = 0; i < r.size(); ++i) {
    square += r.data()[i] * r.data()[i];
    first += r_0.data()[i] * r_0.data()[i];
  }
  EXPECT_LE(std::sqrt(square), 0.05 * std::sqrt(first) * (1 + 1e-12));
  EXPECT_NEAR(rows.state.history.back().residual, std::sqrt(square / first), 1e-10);

  std::vector<RowSet<double>> sets;
  for (Index b = 0; b < 4; ++b) {
    auto block = test::dense_problem("dense(256) relu dense(1)", 6, 2, 1, {});
    for (Index j = 0; j < 6; ++j) {
      std::copy_n(problem.X.column(b + 4 * j), 2, block.X.column(j));
      block.Y(0, j) = problem.Y(0, b + 4 * j);
    }
    sets.push_back(block.part(world));
  }
  auto state = test::start<double>(problem);
  const auto outcome =
      descend<double>(world, problem.network, sets, state, problem.w, options, {}, {});
  EXPECT_EQ(outcome.stop_reason, StopReason::converged);
  const auto r_b = problem.residual(state.w);
  square = 0;
  for (Index i = 0; i < r_b.size(); ++i) square += r_b.data()[i] * r_b.data()[i];
  EXPECT_LE(std::sqrt(square), 0.05 * std::sqrt(first) * (1 + 1e-12));
}

TEST_F(StochasticTest, TheLastRecordIsOfAllRows) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 9;
  options.batch = 4;
  for (const bool block : {false, true}) {
    const auto trained =
        block ? train_blocks(world, problem, 3, options) : test::train_on(world, problem, options);
    const auto r = problem.residual(trained.state.w);
    double square = 0;
    for (Index i = 0; i < r.size(); ++i) square += r.data()[i] * r.data()[i];
    EXPECT_NEAR(trained.state.history.back().loss * static_cast<double>(problem.entries()) / square,
                1, 1e-11);
  }
}

TEST_F(StochasticTest, BlocksThatWereStoppedGoOnAsIfTheyHadNot) {
  const auto problem = test::odd_problem();
  for (const double momentum : {0.0, 0.6})
    for (const Index first : {6, 7, 11}) {
      Options options;
      options.momentum = momentum;
      options.steps = 20;
      const auto whole = train_blocks(world, problem, 3, options);
      options.steps = first;
      auto begun = train_blocks(world, problem, 3, options);
      EXPECT_EQ(begun.state.step, first);
      options.steps = 20;
      const auto parts = train_blocks(world, problem, 3, options, &begun.state);
      EXPECT_EQ(parts.state.w, whole.state.w);
      EXPECT_EQ(parts.state.squares, whole.state.squares);
    }
}

/// S flat on the top modes of the problem's own J J^T, at the eigenvalue after them.
DenseProblem flat_problem(Index top) {
  auto problem = test::dense_problem("dense(64) tanh dense(1)", 20, 2, 1, {}, 2);
  const Index n = problem.n;
  const auto J = problem.jacobian(problem.w);
  auto vectors = test::product(J, J, true);
  const auto lambda = blas::syevd(vectors.view());
  problem.V = Matrix<double>(top, n);
  for (Index v = 0; v < top; ++v) {
    problem.coefficients.push_back(lambda[static_cast<std::size_t>(n - 1 - top)] /
                                       lambda[static_cast<std::size_t>(n - 1 - v)] -
                                   1);
    for (Index j = 0; j < n; ++j) problem.V(v, j) = vectors(j, n - 1 - v);
  }
  return problem;
}

TEST_F(StochasticTest, TheSafeguardGoesBackWhereAnEpochOfRowsMadeThingsWorse) {
  const auto problem = flat_problem(8);
  Options options;
  options.steps = 300;
  options.batch = 4;
  const auto with = test::train_on(world, problem, options);
  EXPECT_GT(with.state.rejected, 0);
  EXPECT_LT(with.state.history.back().residual, 0.9);
  options.safeguard = false;
  EXPECT_THROW(test::train_on(world, problem, options), RunError);

  // What it goes back to is part of the state.
  options.safeguard = true;
  for (const Index first : {20, 23}) {
    options.steps = first;
    auto state = std::move(test::train_on(world, problem, options).state);
    options.steps = 300;
    auto sets = problem.parts(world);
    descend<double>(world, problem.network, sets, state, problem.w, options, {}, {});
    EXPECT_EQ(state.w, with.state.w);
    EXPECT_EQ(state.rejected, with.state.rejected);
  }
}

TEST_F(StochasticTest, AStepOfRowsSendsAsMuchAsAFullOne) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 20;
  options.batch = 4;
  options.rate = 1e-3;
  options.residual_refresh = 1000;
  const auto trained = test::train_on(world, problem, options);
  const Index numbers = problem.network.parameters() + 6 * problem.outputs() + 3;
  EXPECT_EQ(trained.outcome.bytes_per_step,
            static_cast<double>(world.size() > 1 ? 8 * numbers : 0));
}

TEST_F(StochasticTest, LittleMemoryForActivationsChangesNothingButRounding) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 12;
  options.batch = 4;
  const auto plenty = test::train_on(world, problem, options);
  auto sets = problem.parts(world);
  auto state = test::start<double>(problem);
  descend<double>(world, problem.network, sets, state, problem.w, options, {}, {}, 4000);
  EXPECT_TRUE(test::largest_difference(plenty.state.w, state.w) <= 1e-10);
}

TEST_F(StochasticTest, DivergenceIsFound) {
  const auto problem = test::odd_problem();
  Options options;
  options.steps = 5000;
  options.batch = 4;
  options.rate = 50;
  EXPECT_THROW(test::train_on(world, problem, options), RunError);
  EXPECT_THROW(train_blocks(world, problem, 3, options), RunError);
}

TEST_F(StochasticTest, DirectionsOfBlocksAreRefused) {
  const auto problem = test::odd_problem();
  const dist::ProcessGrid grid(world);
  spectral::Eigenpairs<double> pairs{.values = {1.0},
                                     .vectors = dist::DistMatrix<double>(grid, problem.n, 1, 4)};
  pairs.vectors.fill([](Index, Index) { return 1; });
  const std::vector<Index> which{1};
  const Directions<double> directions(pairs, which, {});
  auto sets = blocks_of(world, problem, 3);
  auto state = test::start<double>(problem);
  EXPECT_THROW(descend<double>(world, problem.network, sets, state, problem.w, {}, directions, {}),
               InputError);
}

}  // namespace
}  // namespace mercer::train
