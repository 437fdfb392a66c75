// Jobs from end to end on rows and kernels of a program's own, against dense arithmetic.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/files.hpp"
#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/jobs/model.hpp"
#include "mercer/jobs/training.hpp"
#include "support/grids.hpp"

namespace mercer::jobs {
namespace {

using test::Dense;

double coordinate(Index i, Index a) {
  return std::sin(static_cast<double>(5 * i + 3 * a + 1));
}
double target(Index i, Index a) {
  return std::cos(static_cast<double>(i) * 0.3 + static_cast<double>(a));
}
template <class F>
dist::RowBlock<double> rows(const comm::Communicator& comm, Index n, Index d, F&& f,
                            Index first = 0) {
  dist::RowBlock<double> X(comm, n, d);
  for (Index i = 0; i < X.local_rows(); ++i)
    for (Index a = 0; a < d; ++a)
      X.row(i)[static_cast<std::size_t>(a)] = f(first + X.first_row() + i, a);
  return X;
}

double bump(double r) {
  return std::exp(-r * r / 2);
}
gram::Source own_kernel() {
  return gram::Source::function(kernel::radial("bump(1)", bump));
}
/// k(x_i, x_j) of rows 0 ... of coordinate().
double entry(Index i, Index j, Index d) {
  double square = 0;
  for (Index a = 0; a < d; ++a) square += std::pow(coordinate(i, a) - coordinate(j, a), 2);
  return bump(std::sqrt(square));
}

struct Jobs : testing::Test {
  comm::Communicator world = comm::Communicator::world();
  Monitor silent;
  static constexpr Index n = 40, m = 7, d = 3, c = 2;
  static constexpr double ridge = 0.01;

  data::Split sets() const {
    return data::split_of(data::of_rows(rows(world, n, d, coordinate), rows(world, n, c, target)),
                          data::of_rows(rows(world, m, d, coordinate, n)));
  }
  /// f of the m rows after the n training rows, by dense arithmetic.
  Dense expected() const {
    const double N = static_cast<double>(n);
    const Dense K = test::dense(
        n, n, [&](Index i, Index j) { return entry(i, j, d) / N + (i == j ? ridge : 0); });
    const Dense alpha = test::solved(K, test::dense(n, c, target));
    const Dense cross = test::dense(m, n, [&](Index i, Index j) { return entry(n + i, j, d) / N; });
    return test::times(cross, alpha);
  }
  void expect_predictions(const dist::RowBlock<double>& f, double tolerance) const {
    const Dense right = expected();
    ASSERT_EQ(f.rows(), m);
    ASSERT_EQ(f.cols(), c);
    for (Index i = 0; i < f.local_rows(); ++i)
      for (Index a = 0; a < c; ++a)
        EXPECT_NEAR(f.row(i)[static_cast<std::size_t>(a)], right(f.first_row() + i, a), tolerance);
  }
};

TEST_F(Jobs, FitRowsInMemoryWithAKernelOfOnesOwnOnEveryGrid) {
  const auto kernel = own_kernel();
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const auto solver : {RidgeSolver::automatic, RidgeSolver::conjugate_gradients}) {
      auto split = sets();
      const data::Dataset test = data::of_rows(rows(world, m, d, coordinate, n));
      RidgeOptions options{.ridges = {ridge}};
      options.solver = solver;
      options.cg_tol = 1e-12;
      auto resources = Resources::of(grid);
      resources.nb = 4;
      const auto plan = jobs::plan(options, kernel, split, resources, world);
      EXPECT_EQ(plan.strategy.iterative, solver == RidgeSolver::conjugate_gradients);
      EXPECT_GT(plan.stages.peak(), 0);
      const auto fit = jobs::fit(plan, split, grid, silent);
      EXPECT_TRUE(fit.converged());
      EXPECT_TRUE(jobs::check(plan, fit, split.train, grid, silent).good());
      const auto model = model_of(plan, fit, std::move(split.train), split.preparation);
      expect_predictions(predict(model, test, silent).values, 1e-9);
    }
  }
}

TEST_F(Jobs, WriteAModelThatStandsAlone) {
  const test::TemporaryFolder folder;
  const dist::ProcessGrid grid(world);
  const auto own = own_kernel();
  kernel::Options gaussian;
  gaussian.kind = kernel::Kind::gaussian;  // bump is the gaussian of bandwidth 1
  const auto named = gram::Source::function(kernel::make(gaussian));
  const data::Dataset test = data::of_rows(rows(world, m, d, coordinate, n));
  for (const auto& kernel : {own, named}) {
    auto split = sets();
    const auto plan = jobs::plan({.ridges = {ridge}}, kernel, split, Resources::of(grid), world);
    const auto fit = jobs::fit(plan, split, grid, silent);
    const auto path = folder / "R.h5";
    {
      auto file = io::Hdf5File::create(world, path);
      jobs::write(file, model_of(plan, fit, std::move(split.train), split.preparation));
      file.finish();
    }
    const auto file = io::Hdf5File::open(world, path, io::Origin::mercer);
    const bool is_own = kernel.text() == own.text();
    const auto model = is_own ? read_model(file, own) : read_model(file);
    EXPECT_EQ(model.kernel.text(), kernel.text());
    EXPECT_EQ(model.ridge, ridge);
    EXPECT_FALSE(model.refers());
    expect_predictions(predict(model, test, silent).values, 1e-9);
    if (is_own) {
      EXPECT_THROW(read_model(file), InputError);
      EXPECT_THROW(read_model(file, named), InputError);
    }
  }
}

TEST_F(Jobs, ChooseTheSameRidgeWhateverTheGrid) {
  const auto kernel = own_kernel();
  std::vector<double> chosen;
  for (const auto shape : test::grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    const auto split = sets();
    const auto plan = jobs::plan({.choice = krr::RidgeCriterion::leave_one_out}, kernel, split,
                                 Resources::of(grid), world);
    const auto fit = jobs::fit(plan, split, grid, silent);
    chosen.push_back(fit.best_fit().ridge);
    EXPECT_GT(fit.searched_to, fit.searched_from);
  }
  for (const double one : chosen) EXPECT_NEAR(one / chosen.front(), 1, 1e-3);
}

TEST_F(Jobs, FindTheSameSpectrumDirectlyAndByKrylov) {
  const auto kernel = own_kernel();
  const auto set = data::of_rows(rows(world, n, d, coordinate));
  const Index k = 6;
  std::vector<std::vector<double>> values;
  for (const auto method : {spectral::Method::automatic, spectral::Method::krylov})
    for (const auto shape : test::grid_shapes(world.size())) {
      const dist::ProcessGrid grid(world, shape);
      const SpectrumOptions options{.top = k, .method = method, .exact_residuals = true};
      const auto plan = jobs::plan(options, kernel, set, Resources::of(grid), world);
      const auto spectrum = jobs::solve<double>(plan, kernel, set, grid, silent);
      EXPECT_EQ(spectrum.iterative, method == spectral::Method::krylov);
      EXPECT_TRUE(spectrum.good());
      EXPECT_GT(spectrum.flops, 0);
      values.push_back(spectrum.pairs.values);
    }
  for (const auto& one : values) {
    ASSERT_EQ(one.size(), static_cast<std::size_t>(k));
    for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], values[0][i], 1e-11);
  }
}

TEST_F(Jobs, TrainAlikeWithPairsFromTheMatrixAndFromItsProducts) {
  const dist::ProcessGrid grid(world);
  const auto architecture = arch::parse("dense(64) relu dense(2)", {.bias_std = 1});
  const net::Network network(architecture, d, net::Parametrization::ntk, net::Start::antisymmetric);
  const auto kernel = gram::Source::function(kernel::make({.architecture = architecture}));
  std::vector<std::vector<double>> losses;
  for (const auto method : {spectral::Method::automatic, spectral::Method::krylov}) {
    const auto split = sets();
    TrainingOptions options{.precondition = Precondition::kernel, .top = 5, .method = method};
    options.descent.steps = 10;
    options.directions = {1, 3};
    auto w_0 = network.initial<double>(0);
    const auto plan =
        jobs::plan<double>(options, network, kernel, split, w_0, Resources::of(grid), world);
    EXPECT_TRUE(plan.solves);
    EXPECT_EQ(plan.pairs.iterative, method == spectral::Method::krylov);
    const auto training = jobs::train<double>(plan, network, split, std::move(w_0), grid, silent);
    const auto check = jobs::check(training, network, split.train, silent);
    EXPECT_TRUE(check.equal);
    EXPECT_TRUE(check.error <= 1e-12);
    EXPECT_GT(training.bound_from, 0);
    auto& list = losses.emplace_back();
    for (const auto& record : training.state.history) {
      list.push_back(record.loss);
      EXPECT_EQ(record.directions.size(), 2u);
    }
  }
  ASSERT_EQ(losses[0].size(), losses[1].size());
  EXPECT_LT(losses[0].back(), losses[0].front());
  for (std::size_t i = 0; i < losses[0].size(); ++i)
    EXPECT_NEAR(losses[0][i], losses[1][i], 1e-7 * losses[0].front());
}

TEST_F(Jobs, RefuseRowsThatDoNotFitTogether) {
  auto X = rows(world, n, d, coordinate);
  EXPECT_THROW(data::of_rows(X.copy(), rows(world, n + 1, c, target)), InputError);
  if (X.local_rows() > 0 && world.root()) X.row(0)[0] = std::nan("");
  EXPECT_THROW(data::of_rows(std::move(X)), InputError);
  auto Y = rows(world, n, c, target);
  if (world.root()) Y.row(0)[1] = std::nan("");
  EXPECT_THROW(data::split_of(data::of_rows(rows(world, n, d, coordinate), std::move(Y))),
               InputError);
  EXPECT_THROW(data::split_of(data::of_rows(rows(world, n, d, coordinate)),
                              data::of_rows(rows(world, m, d + 1, coordinate))),
               InputError);
}

}  // namespace
}  // namespace mercer::jobs
