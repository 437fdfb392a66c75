// Ridge regression by a program of one's own: a kernel class, rows in memory, some of the ranks.
// All that a driver does, without the driver, against dense arithmetic; and what must be refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "data/files.hpp"
#include "krr/naive.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/random.hpp"
#include "mercer/jobs/model.hpp"
#include "mercer/net/empirical.hpp"

namespace mercer::jobs {
namespace {

using test::Dense;
using test::error;

/// k(x, z) = 1/(1 + |x - z|^2): a class, as a user derives one.
class Rational final : public kernel::Kernel {
 public:
  std::string text() const override { return "rational(1)"; }
  std::unique_ptr<kernel::Rows> prepare(Matrix<double>&& X) const override {
    auto rows = std::make_unique<Prepared>();
    rows->x = std::move(X);
    return rows;
  }
  void tile(const kernel::Rows& x, Index i0, const kernel::Rows& z, Index j0,
            MatrixView<double> out) const override {
    for (Index j = 0; j < out.cols; ++j)
      for (Index i = 0; i < out.rows; ++i) out.column(j)[i] = entry(x, i0 + i, z, j0 + j);
  }
  void diagonal(const kernel::Rows& x, Index i0, Index count, double* out) const override {
    for (Index i = 0; i < count; ++i) out[i] = entry(x, i0 + i, x, i0 + i);
  }
  Index bytes_per_row(Index d) const override { return 8 * d; }

 private:
  struct Prepared : kernel::Rows {
    Matrix<double> x;
    Index size() const override { return x.cols(); }
    Index bytes() const override { return 8 * x.size(); }
  };
  static double entry(const kernel::Rows& x_rows, Index i, const kernel::Rows& z_rows, Index j) {
    const auto &x = static_cast<const Prepared&>(x_rows).x,
               &z = static_cast<const Prepared&>(z_rows).x;
    double square = 0;
    for (Index a = 0; a < x.rows(); ++a) square += std::pow(x(a, i) - z(a, j), 2);
    return 1 / (1 + square);
  }
};

double coordinate(Index i, Index a) {
  return std::sin(static_cast<double>(5 * i + 3 * a + 1));
}
double target(Index i, Index a) {
  return std::cos(static_cast<double>(i) * 0.3 + static_cast<double>(a));
}

struct OwnRidge : testing::Test {
  static constexpr Index n = 24, m = 7, d = 3, c = 2;
  /// Of predictions: n eps lambda_1/gamma times the targets is below 1e-10 for gamma >= 1e-3, and
  /// what g does to the top pairs adds a factor lambda_1/(lambda_k - lambda_(k+1)) < 10 here.
  static constexpr double kTolerance = 1e-9;

  test::TemporaryFolder folder;
  comm::Communicator world = comm::Communicator::world();
  /// All ranks but the last, in reverse order. The last one has nothing to do.
  comm::Communicator comm =
      world.split(world.rank() < std::max(1, world.size() - 1) ? 0 : -1, -world.rank());
  Monitor silent;
  const gram::Source kernel = gram::Source::function(std::make_shared<Rational>());

  /// Points first ... first + rows - 1.
  dist::RowBlock<double> points(Index first, Index rows, Index columns = d) const {
    return test::row_block(comm, rows, columns,
                           [&](Index i, Index a) { return coordinate(first + i, a); });
  }
  dist::RowBlock<double> targets(Index first, Index rows) const {
    return test::row_block(comm, rows, c, [&](Index i, Index a) { return target(first + i, a); });
  }
  data::Split sets(Index test_rows = m) const {
    return data::split_of(data::of_rows(points(0, n), targets(0, n)),
                          data::of_rows(points(n, test_rows), targets(n, test_rows)));
  }
  RidgePlan planned(const RidgeOptions& options, const data::Split& split,
                    const dist::ProcessGrid& grid) const {
    auto resources = Resources::of(grid);
    resources.nb = 4;
    return plan(options, kernel, split, resources, comm);
  }

  // Dense arithmetic.
  static Dense k(Index first, Index rows, Index first_column, Index columns, Index over) {
    return test::dense(rows, columns, [&](Index i, Index j) {
      double square = 0;
      for (Index a = 0; a < d; ++a)
        square += std::pow(coordinate(first + i, a) - coordinate(first_column + j, a), 2);
      return 1 / (1 + square) / static_cast<double>(over);
    });
  }
  static Dense K() { return k(0, n, 0, n, n); }
  static Dense Y() { return test::dense(n, c, target); }
  static Dense predicted(const Dense& alpha, Index test_rows = m) {
    return test::times(k(n, test_rows, 0, n, n), alpha);
  }
  static double root_mean_square(const Dense& errors) {
    double sum = 0;
    for (Index i = 0; i < errors.rows(); ++i)
      for (Index a = 0; a < errors.cols(); ++a) sum += errors(i, a) * errors(i, a);
    return std::sqrt(sum / static_cast<double>(errors.rows() * errors.cols()));
  }
  static double test_rmse(const Dense& f) {
    return root_mean_square(
        test::dense(m, c, [&](Index i, Index a) { return f(i, a) - target(n + i, a); }));
  }
  /// The leave-one-out rmse, by a fit without each row.
  static double left_out(double gamma) {
    Dense errors(n, c);
    for (Index i = 0; i < n; ++i) {
      auto others = test::range(0, n);
      others.erase(others.begin() + i);
      const Dense alpha = test::solved(test::plus_ridge(test::part(K(), others, others), gamma),
                                       test::part(Y(), others, test::range(0, c)));
      const Dense f = test::times(test::part(K(), {i}, others), alpha);
      for (Index a = 0; a < c; ++a) errors(i, a) = target(i, a) - f(0, a);
    }
    return root_mean_square(errors);
  }
  /// A + V diag(factor(lambda_i, lambda_(k+1)), i <= k) V^T for the eigenpairs of `of`.
  template <class F>
  static Dense plus_modes(const Dense& A, const Dense& of, Index top, F&& factor) {
    const auto eigen = test::jacobi(of);
    const auto& lambda = eigen.first;
    const auto& V = eigen.second;
    const double next = lambda[static_cast<std::size_t>(top)];
    return test::dense(A.rows(), A.cols(), [&](Index i, Index j) {
      double sum = A(i, j);
      for (Index l = 0; l < top; ++l)
        sum += V(i, l) * factor(lambda[static_cast<std::size_t>(l)], next) * V(j, l);
      return sum;
    });
  }
};

TEST_F(OwnRidge, HasThePathAndItsErrorsOfDenseArithmetic) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const std::vector<double> ridges{1e-3, 1e-2, 1e-1};
  const auto plan = planned({.ridges = ridges}, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  const auto along = errors_along(plan, fit, split, silent);
  ASSERT_EQ(fit.fits.size(), ridges.size());
  ASSERT_EQ(along.errors.size(), ridges.size());
  double least = HUGE_VAL;
  for (std::size_t r = 0; r < ridges.size(); ++r) {
    const Dense alpha = test::solved(test::plus_ridge(K(), ridges[r]), Y());
    EXPECT_LE(test::relative_difference(test::replicated(fit.fits[r].alpha), alpha), kTolerance);
    EXPECT_NEAR(along.errors[r].scores.rmse.value(), test_rmse(predicted(alpha)), kTolerance);
    const double loo = left_out(ridges[r]);
    EXPECT_NEAR(along.errors[r].loo_rmse.value(), loo, kTolerance);
    if (r != fit.best) least = std::min(least, loo);
  }
  const Dense best = test::solved(test::plus_ridge(K(), fit.best_fit().ridge), Y());
  EXPECT_LE(left_out(fit.best_fit().ridge), least);
  EXPECT_LE(test::difference(test::replicated(along.best.values), predicted(best)), kTolerance);
  EXPECT_TRUE(jobs::check(plan, fit, split.train, grid, silent).good());
  EXPECT_NEAR(fit.flops + along.flops, plan.stages.flops(), 1e-9 * fit.flops);
}

TEST_F(OwnRidge, CountsTheFlopsOfTheRidgesThatItScored) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const auto one = planned({.ridges = {1e-2}, .g = "identity"}, split, grid);
  const auto chosen = planned({.choice = krr::RidgeCriterion::leave_one_out}, split, grid);
  const auto fit = jobs::fit(one, split, grid, silent);
  const double fitted = fit.flops, predicted = errors_along(one, fit, split, silent).flops;
  EXPECT_NEAR(fitted + predicted, one.stages.flops(), 1e-9 * fitted);
  const double scored = jobs::fit(chosen, split, grid, silent).flops - fitted;
  const double each = 2.0 * n * n * (c + 1);  // krr::path_cost()
  EXPECT_GE(scored, 41 * each);               // the grid, and perhaps golden section
  EXPECT_NEAR(scored / each, std::round(scored / each), 1e-9 * fitted / each);
}

TEST_F(OwnRidge, IsExactWhereAllTargetsAreZero) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto zeros = test::row_block(comm, n, c, [](Index, Index) { return 0.0; });
  const auto split = data::split_of(data::of_rows(points(0, n), zeros.copy()));
  const auto plan = planned({.ridges = {1e-2}}, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  const auto check = jobs::check(plan, fit, split.train, grid, silent);
  EXPECT_EQ(check.error, 0);
  EXPECT_TRUE(check.good());
}

TEST_F(OwnRidge, TakesAFlatSpectrumWhereOnlyItsNumberOfPairsIsGiven) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const double gamma = 1e-2;
  const Index top = 4;
  const auto plan = planned({.ridges = {gamma}, .top = top}, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  ASSERT_EQ(fit.top, top);
  const Dense identity = test::dense(n, n, [](Index i, Index j) { return i == j ? 1.0 : 0.0; });
  const Dense S = plus_modes(identity, K(), top, [](double l, double lk) { return lk / l - 1; });
  const Dense alpha =
      test::times(S, test::solved(test::plus_ridge(test::times(K(), S), gamma), Y()));
  EXPECT_LE(test::relative_difference(test::replicated(fit.best_fit().alpha), alpha), kTolerance);
  EXPECT_TRUE(jobs::check(plan, fit, split.train, grid, silent).good());
  EXPECT_NEAR(fit.flops + errors_along(plan, fit, split, silent).flops, plan.stages.flops(),
              1e-9 * fit.flops);
  const auto named = planned({.ridges = {gamma}, .top = top, .g = "flat"}, split, grid);
  EXPECT_EQ(
      test::difference(test::replicated(jobs::fit(named, split, grid, silent).best_fit().alpha),
                       test::replicated(fit.best_fit().alpha)),
      0);
}

TEST_F(OwnRidge, PredictsTransductivelyWithARidgeRelativeToTheTrace) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const double relative = 1e-2;
  const Index top = 4, N = n + m;
  RidgeOptions options{.ridges = {relative}, .relative = true, .top = top, .transductive = true};
  const auto plan = planned(options, split, grid);
  const auto result = transduce(plan, split, grid, silent);
  const double gamma = relative / static_cast<double>(n);  // k(x, x) = 1
  EXPECT_NEAR(result.ridge / gamma, 1, 1e-14);  // a sum of n numbers that are 1 to the bit
  EXPECT_TRUE(result.good());
  const Dense all = k(0, N, 0, N, N);
  const Dense K_g = plus_modes(all, all, top, [](double l, double lk) { return lk - l; });
  const auto train = test::range(0, n);
  const double scaled = gamma * static_cast<double>(n) / static_cast<double>(N);
  const Dense B = test::solved(test::plus_ridge(test::part(K_g, train, train), scaled), Y());
  const Dense f = test::times(test::part(K_g, test::range(n, N), train), B);
  // The least gamma here is 4e-4.
  EXPECT_LE(test::difference(test::replicated(result.values), f), 10 * kTolerance);
}

/// alpha_t = (1 - e^(-A t)) A^-1 Y of A = K + gamma I, by many small steps of descent.
Dense trained(const Dense& A, const Dense& Y, double time) {
  constexpr int kSteps = 1 << 14;
  Dense alpha = test::dense(A.rows(), Y.cols(), [](Index, Index) { return 0.0; });
  for (int step = 0; step < kSteps; ++step) {
    const Dense next = test::times(A, alpha);
    for (Index a = 0; a < Y.cols(); ++a)
      for (Index i = 0; i < A.rows(); ++i) alpha(i, a) += time / kSteps * (Y(i, a) - next(i, a));
  }
  return alpha;
}

TEST_F(OwnRidge, TrainingTimesAreThoseOfDescentOnTheRows) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const auto plan = planned({.ridges = {1e-2}, .time = {.times = {0.5, 4, INFINITY}}}, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  const auto along = errors_along(plan, fit, split, silent);
  ASSERT_EQ(along.test.size(), 3U);
  const Dense A = test::plus_ridge(K(), 1e-2);
  for (std::size_t r = 0; r < 3; ++r) {
    const double time = plan.options.time.times[r];
    const Dense alpha = std::isinf(time) ? test::solved(A, Y()) : trained(A, Y(), time);
    const double accuracy = std::isinf(time) ? kTolerance : 1e-3;  // of steps that are not small
    EXPECT_EQ(along.errors[r].time, time);
    EXPECT_LE(test::difference(test::replicated(along.test[r]), predicted(alpha)), accuracy);
    EXPECT_LE(test::difference(test::replicated(along.train[r]), test::times(K(), alpha)),
              accuracy);
    EXPECT_NEAR(*along.errors[r].scores.rmse, test_rmse(predicted(alpha)), accuracy);
  }
  EXPECT_NEAR(fit.fits[2].loo_rmse, left_out(1e-2), kTolerance);
  EXPECT_TRUE(jobs::check(plan, fit, split.train, grid, silent).good());
  auto file = io::Hdf5File::create(comm, folder / "T.h5");
  write(file, fit, along, split.preparation);
  file.finish();
  const auto written = io::Hdf5File::open(comm, folder / "T.h5", io::Origin::mercer);
  EXPECT_EQ(written.extents("/at_time/test"), (std::vector<Index>{3, m, c}));
  EXPECT_EQ(written.extents("/at_time/train"), (std::vector<Index>{3, n, c}));
  EXPECT_EQ(written.read_vector("/at_time/t"), plan.options.time.times);
  EXPECT_FALSE(written.contains("/path/ridge"));
}

TEST_F(OwnRidge, ATimeChosenByHoldoutIsTheBestForRowsLeftOut) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  for (const Index top : {-1, 4}) {
    const auto plan = planned({.ridges = {1e-2},
                               .time = {.choice = krr::RidgeCriterion::holdout, .eta = 0.01},
                               .top = top},
                              split, grid);
    const auto fit = jobs::fit(plan, split, grid, silent);
    std::vector<char> left;
    for (Index i = 0; i < n; ++i) left.push_back(krr::held_out(i, 0.1, plan.seed));
    if (std::ranges::count(left, 1) < 2) left[0] = left[1] = 1;
    const auto kept = [&](Index i) { return left[static_cast<std::size_t>(i)] == 0; };
    const Dense whole = K(), identity = test::dense(n, n, [](Index i, Index j) { return i == j; });
    const Dense masked =
        test::dense(n, n, [&](Index i, Index j) { return kept(i) && kept(j) ? whole(i, j) : 0.0; });
    Dense K_g = test::part(masked, test::range(0, n), test::range(0, n));
    Dense S = test::part(identity, test::range(0, n), test::range(0, n));
    if (top > 0) {
      K_g = plus_modes(masked, masked, top, [](double l, double lk) { return lk - l; });
      S = plus_modes(identity, masked, top, [](double l, double lk) { return lk / l - 1; });
    }
    const Dense A = test::plus_ridge(K_g, 1e-2);
    // Steps of descent one by one, up to some that are certainly too many or enough.
    const double step = 0.01 * static_cast<double>(n);
    Dense B = test::dense(n, c, [](Index, Index) { return 0.0; });
    const auto chosen = std::lround(fit.best_fit().time / step);
    double least = INFINITY, of_chosen = INFINITY;
    for (long T = 1; T <= std::max(4000L, chosen); ++T) {
      const Dense next = test::times(A, B);
      for (Index a = 0; a < c; ++a)
        for (Index i = 0; i < n; ++i)
          B(i, a) += step * ((kept(i) ? target(i, a) : 0.0) - next(i, a));
      const Dense f = test::times(whole, test::times(S, B));
      double sum = 0;
      for (Index i = 0; i < n; ++i)
        for (Index a = 0; a < c; ++a) sum += kept(i) ? 0 : std::pow(f(i, a) - target(i, a), 2);
      const double rmse = std::sqrt(sum / static_cast<double>(c * std::ranges::count(left, 1)));
      least = std::min(least, rmse);
      if (T == chosen) of_chosen = rmse;
    }
    EXPECT_NEAR(fit.holdout_rmse, of_chosen, 1e-7) << top;
    EXPECT_LE(of_chosen, 1.02 * least) << top;  // times tried are 8 a decade
  }
}

/// The rows of a learning curve's subset, and the others, by their definition: the `size` rows of
/// the smallest random keys.
std::pair<std::vector<Index>, std::vector<Index>> drawn(Index all, Index size, Index repeat,
                                                        std::uint64_t seed) {
  const Random random(seed, Stream::subsets, static_cast<std::uint32_t>(size));
  const auto key = [&](Index i) {
    return random.uniform(static_cast<std::uint64_t>(repeat * all + i));
  };
  std::vector<Index> rows, others;
  for (Index i = 0; i < all; ++i) {
    Index before = 0;
    for (Index j = 0; j < all; ++j) before += key(j) < key(i);
    (before < size ? rows : others).push_back(i);
  }
  return {rows, others};
}

TEST_F(OwnRidge, ALearningCurveIsThatOfFitsToTheRowsDrawn) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  constexpr Index kSubsets = 3, top = 4;
  const double gamma = 1e-2;
  const std::vector<Index> sizes{6, 16};
  int compared = 0;
  for (const bool on_test : {false, true})
    for (const bool modified : {false, true})
      for (const bool relative : {false, true}) {
        auto split = sets();
        if (!on_test) split.test.reset();
        RidgeOptions options{.ridges = {relative ? gamma * n : gamma},
                             .relative = relative,
                             .curve = {.sizes = sizes, .subsets = kSubsets},
                             .top = modified ? top : -1};
        const auto plan = planned(options, split, grid);
        const auto fit = jobs::fit(plan, split, grid, silent);
        const auto curve = learning_curve(plan, fit, split, grid, silent);
        ASSERT_EQ(curve.points.size(), 2U);
        ASSERT_EQ(curve.measured.size(), 2U);
        EXPECT_EQ(curve.on_test_rows, on_test);
        for (std::size_t p = 0; p < 2; ++p) {
          const Index size = sizes[p];
          const double ridge = relative ? gamma * n / static_cast<double>(size) : gamma;
          EXPECT_NEAR(curve.points[p].ridge, ridge, 1e-14);  // k(x, x) = 1
          std::vector<double> errors;
          for (Index repeat = 0; repeat < kSubsets; ++repeat) {
            const auto [rows, others] = drawn(n, size, repeat, plan.seed);
            ASSERT_EQ(std::ssize(rows), size);
            const Dense Ks = test::part(k(0, n, 0, n, size), rows, rows);
            const Dense unit =
                test::dense(size, size, [](Index i, Index j) { return i == j ? 1.0 : 0.0; });
            const Dense S =
                modified ? plus_modes(unit, Ks, top, [](double l, double lk) { return lk / l - 1; })
                         : unit.copy();
            const Dense alpha =
                test::times(S, test::solved(test::plus_ridge(test::times(Ks, S), ridge),
                                            test::part(Y(), rows, test::range(0, c))));
            auto scored = others;
            if (on_test) scored = test::range(n, n + m);
            const Dense f = test::times(test::part(k(0, n + m, 0, n, size), scored, rows), alpha);
            double sum = 0;
            for (std::size_t i = 0; i < scored.size(); ++i)
              for (Index a = 0; a < c; ++a)
                sum += std::pow(f(static_cast<Index>(i), a) - target(scored[i], a), 2);
            errors.push_back(sum / static_cast<double>(scored.size()));
          }
          const double mean = (errors[0] + errors[1] + errors[2]) / kSubsets;
          double square = 0;
          for (const double error : errors) square += std::pow(error - mean, 2);
          EXPECT_NEAR(curve.measured[p], mean, kTolerance);
          EXPECT_NEAR(curve.measured_error[p], std::sqrt(square / 2 / kSubsets), kTolerance);
          ++compared;
        }
        const double counted =
            fit.flops + errors_along(plan, fit, split, silent).flops + curve.flops;
        EXPECT_NEAR(counted, plan.stages.flops(), 1e-9 * counted);
      }
  EXPECT_EQ(compared, 16);
}

TEST_F(OwnRidge, ALearningCurveIsPredictedFromTheSpectrumOfAllRows) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const RidgeOptions options{.ridges = {1e-2}, .curve = {.sizes = {8, n}, .subsets = 0}};
  const auto plan = planned(options, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  const auto curve = learning_curve(plan, fit, split, grid, silent);
  EXPECT_TRUE(curve.measured.empty());
  const auto eigen = test::jacobi(K());
  const Dense modes = test::dense(n, c, [&](Index i, Index a) {
    double sum = 0;
    for (Index j = 0; j < n; ++j) sum += eigen.second(j, i) * target(j, a);
    return sum;
  });
  std::vector<double> energy;
  for (Index i = 0; i < n; ++i)
    energy.push_back(std::pow(modes(i, 0), 2) + std::pow(modes(i, 1), 2));
  for (std::size_t p = 0; p < 2; ++p) {
    const auto exact = krr::predicted_error(eigen.first, energy, options.curve.sizes[p], 1e-2);
    EXPECT_NEAR(curve.points[p].error, exact.error, kTolerance);
    EXPECT_NEAR(curve.points[p].kappa, exact.kappa, kTolerance);
    const double loo = left_out(exact.sample_ridge);
    EXPECT_NEAR(curve.leave_one_out[p], exact.factor * c * loo * loo, kTolerance);
  }
  // All rows: the scores of the fit itself.
  EXPECT_NEAR(curve.points[1].error, c * fit.best_fit().gcv, kTolerance);
  EXPECT_NEAR(curve.leave_one_out[1], c * std::pow(fit.best_fit().loo_rmse, 2), kTolerance);

  auto file = io::Hdf5File::create(comm, folder / "C.h5");
  write(file, curve, split.preparation);
  file.finish();
  const auto written = io::Hdf5File::open(comm, folder / "C.h5", io::Origin::mercer);
  EXPECT_EQ(written.read_vector("/learning_curve/n"), (std::vector<double>{8, n}));
  EXPECT_EQ(written.read_vector("/learning_curve/predicted_loo"), curve.leave_one_out);
  EXPECT_FALSE(written.contains("/learning_curve/measured"));
}

TEST_F(OwnRidge, WritesAFitAndItsModelInEitherOrderAndReadsThem) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  for (const bool model_first : {false, true}) {
    auto split = sets();
    const auto plan = planned({.ridges = {1e-2, 1e-1}}, split, grid);
    const auto fit = jobs::fit(plan, split, grid, silent);
    const auto along = errors_along(plan, fit, split, silent);
    const auto model = model_of(plan, fit, std::move(split.train), split.preparation);
    const auto path = folder / "R.h5";
    auto file = io::Hdf5File::create(comm, path);
    if (model_first) write(file, model);
    write(file, fit, along, split.preparation);
    write_predictions(file, *split.test, split.preparation, along.best);
    if (!model_first) write(file, model);
    file.finish();

    const auto written = io::Hdf5File::open(comm, path, io::Origin::mercer);
    EXPECT_EQ(written.read_number("/ridge"), fit.best_fit().ridge);
    EXPECT_EQ(written.read_vector("/path/ridge"), (std::vector<double>{1e-2, 1e-1}));
    EXPECT_EQ(written.read_number("/score/rmse"), along.errors[fit.best].scores.rmse);
    const auto read = read_model(written, kernel);
    const auto again = predict(read, *split.test, silent);
    // The same alpha and rows: apart from the panels' order, the same sum.
    EXPECT_LE(test::difference(test::replicated(again.values), test::replicated(along.best.values)),
              1e-13);
    EXPECT_NE(error<InputError>([&] { read_model(written); }), "");
  }
}

TEST_F(OwnRidge, ComputesInThePrecisionOfThePlan) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const Dense right = test::solved(test::plus_ridge(K(), 1e-1), Y());
  RidgeOptions options{.ridges = {1e-1, 1.0}, .single = true};
  const auto plan = planned(options, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  EXPECT_TRUE(plan.single());
  EXPECT_TRUE(fit.pairs_single.has_value() && !fit.pairs.has_value());
  EXPECT_TRUE(jobs::check(plan, fit, split.train, grid, silent).good());
  const double error = test::relative_difference(test::replicated(fit.fits[0].alpha), right);
  EXPECT_LE(error, 1e-4);  // n eps lambda_1/gamma for eps = 6e-8
  EXPECT_GT(error, 1e-10);
  options.solver = RidgeSolver::conjugate_gradients;
  options.cg_tol = 1e-12;
  const auto iterative = planned(options, split, grid);
  EXPECT_FALSE(iterative.single());
  const auto by_cg = jobs::fit(iterative, split, grid, silent);
  EXPECT_TRUE(jobs::check(iterative, by_cg, split.train, grid, silent).good());
}

TEST_F(OwnRidge, RefusesRowsThatDoNotFit) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto alpha = targets(0, n);
  for (const Index columns : {d - 1, d + 1}) {
    const auto Z = points(n, m, columns);
    for (const auto& said :
         {error<InputError>([&] { gram::apply_cross(kernel, Z, points(0, n), alpha); }),
          error<InputError>(
              [&] { gram::assemble_cross<double>(kernel.kernel(), Z, points(0, n), grid); })}) {
      EXPECT_NE(said.find(fmt::format("have {} inputs", columns)), std::string::npos) << said;
      EXPECT_NE(said.find(fmt::format("training rows {}", d)), std::string::npos) << said;
    }
  }
  EXPECT_NE(
      error<InputError>([&] { gram::apply_cross(kernel, points(n, m), points(0, n - 1), alpha); }),
      "");

  auto split = sets();
  const auto plan = planned({.ridges = {1e-2}}, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  EXPECT_NE(error<InputError>([&] {
              model_of(plan, fit, data::of_rows(points(0, m), targets(0, m)), split.preparation);
            }),
            "");
  const auto model = model_of(plan, fit, std::move(split.train), split.preparation);
  const auto wide = data::of_rows(points(n, m, d + 1));
  EXPECT_NE(error<InputError>([&] { predict(model, wide, silent); }).find("inputs"),
            std::string::npos);
  const auto other = data::of_rows(points(n, m), points(n, m, c + 1));
  EXPECT_NE(error<InputError>([&] { predict(model, other, silent); }).find("targets"),
            std::string::npos);
}

TEST_F(OwnRidge, RefusesTrainingSetsWithoutRowsOrTargets) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto planning = [&](data::Dataset train) {
    const auto split = data::split_of(std::move(train));
    return error<InputError>([&] { planned({.ridges = {1e-2}}, split, grid); });
  };
  EXPECT_NE(planning(data::of_rows(points(0, 0), targets(0, 0))).find("no rows"),
            std::string::npos);
  EXPECT_NE(planning(data::of_rows(points(0, n))).find("targets"), std::string::npos);
}

TEST_F(OwnRidge, RefusesPlansForAnotherPurpose) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto split = sets();
  const auto inductive = planned({.ridges = {1e-2}}, split, grid);
  const auto transductive = planned({.ridges = {1e-2}, .transductive = true}, split, grid);
  EXPECT_EQ(error<InputError>([&] {
              jobs::fit(transductive, split, grid, silent);
            }).find("`transductive`"),
            0u);
  EXPECT_EQ(
      error<InputError>([&] { transduce(inductive, split, grid, silent); }).find("`transductive`"),
      0u);
  const auto fit = jobs::fit(inductive, split, grid, silent);
  auto file = io::Hdf5File::create(comm, folder / "errors.h5");
  EXPECT_NE(error<InputError>([&] { write(file, fit, {}, split.preparation); }), "");
}

TEST_F(OwnRidge, WritesNoModelThatCouldNotBeRead) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const auto fitted = [&] {
    auto split = sets();
    const auto plan = planned({.ridges = {1e-2}}, split, grid);
    return model_of(plan, jobs::fit(plan, split, grid, silent), std::move(split.train),
                    split.preparation);
  };
  const auto writing = [&](const RidgeModel& model, bool reference = false) {
    auto file = io::Hdf5File::create(comm, folder / "bad.h5");
    return error<InputError>([&] { write(file, model, reference); });
  };
  auto model = fitted();
  EXPECT_EQ(writing(model), "");
  EXPECT_NE(writing(model, true).find("`reference`"), std::string::npos);
  model.preparation.train = "npy:X.npy";
  EXPECT_EQ(writing(model, true), "");
  model.preparation.scale = 2;  // but not in model.reading
  EXPECT_NE(writing(model, true).find("`reading`"), std::string::npos);
  model = fitted(), model.preparation = {};
  EXPECT_NE(writing(model), "");
  model = fitted(), model.rows = {};
  EXPECT_NE(writing(model), "");
  model = fitted(), model.rows_hash += 1;
  EXPECT_NE(writing(model).find("`rows_hash`"), std::string::npos);
  model = fitted(), model.ridge = std::nan("");
  EXPECT_NE(writing(model).find("`ridge`"), std::string::npos);
  model = fitted(), model.temperature = 1;  // the targets are no classes
  EXPECT_NE(writing(model).find("`temperature`"), std::string::npos);
  model = fitted(), model.reading.split = "a\nseed=3";
  EXPECT_NE(writing(model).find("newline"), std::string::npos);
  model = fitted();
  if (comm.root()) model.alpha.row(0)[0] = HUGE_VAL;
  EXPECT_NE(writing(model), "");
}

// --- empirical kernels, and rows from files

TEST_F(OwnRidge, GetsTheNetworkOfAnEmpiricalKernelToTheBit) {
  Index compared = 0;
  for (const char* text : {"dense(1)", "dense(3)", "dense(8) relu dense(1)",
                           "dense(8) relu dense(3)", "dense(5) relu dense(4) relu dense(2)"})
    for (const auto start : {net::Start::gaussian, net::Start::antisymmetric})
      for (const bool alike : {true, false}) {
        const net::Network network(arch::parse(text, {.bias_std = 1}), d, net::Parametrization::ntk,
                                   start);
        auto w = network.initial<double>(1);
        if (!alike) w.back() += 1;
        for (const auto outputs : {net::Outputs::trace, net::Outputs::full}) {
          const auto made = net::empirical_kernel(network, w, outputs);
          const auto found = net::network_of(*made);
          ASSERT_TRUE(found.has_value());
          EXPECT_EQ(found->parameters, w) << text;
          EXPECT_EQ(found->network.text(), network.text());
          ++compared;
        }
      }
  EXPECT_EQ(compared, 40);
  EXPECT_FALSE(net::network_of(kernel.kernel()).has_value());
}

TEST_F(OwnRidge, WritesTheWeightsOfAnEmpiricalKernelUnasked) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const net::Network network(arch::parse("dense(16) relu dense(2)", {.bias_std = 1}), d,
                             net::Parametrization::ntk, net::Start::antisymmetric);
  const auto w = network.initial<double>(0);
  const auto empirical = gram::Source::function(net::empirical_kernel(network, w));
  auto split = sets();
  const auto plan = jobs::plan({.ridges = {1e-1}}, empirical, split, Resources::of(grid), comm);
  const auto fit = jobs::fit(plan, split, grid, silent);
  auto model = model_of(plan, fit, std::move(split.train), split.preparation);
  const auto path = folder / "E.h5";
  auto file = io::Hdf5File::create(comm, path);
  write(file, model);
  file.finish();
  const auto read = read_model(io::Hdf5File::open(comm, path, io::Origin::mercer));
  EXPECT_EQ(read.kernel.text(), empirical.text());
  EXPECT_EQ(test::difference(test::replicated(predict(read, *split.test, silent).values),
                             test::replicated(predict(model, *split.test, silent).values)),
            0);
  model.kernel = gram::Source::function(net::empirical_kernel(network, w, net::Outputs::full));
  auto full = io::Hdf5File::create(comm, path);
  EXPECT_NE(error<InputError>([&] { write(full, model); }).find("trace kernel"), std::string::npos);
}

TEST_F(OwnRidge, FindsItsTrainingRowsAgainAsTheyWereRead) {
  std::string table = "a,b,y\n", mask = "test\n";
  for (Index i = 0; i < n; ++i) {
    table += fmt::format("{},{},{}\n", coordinate(i, 0), 3 + coordinate(i, 1), target(i, 0));
    mask += i % 5 == 0 ? "1\n" : "0\n";
  }
  const auto data = folder.write("rows.csv", table), split_file = folder.write("mask.csv", mask);
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const data::Options reading{
      .split = split_file, .limit = n / 2, .scale = 2, .standardize = true, .unit_norm = true};
  auto split = data::load("csv:" + data, "", reading, comm);
  const auto plan = planned({.ridges = {1e-2}}, split, grid);
  const auto fit = jobs::fit(plan, split, grid, silent);
  const auto model = model_of(plan, fit, std::move(split.train), split.preparation);
  const auto path = folder / "F.h5";
  auto file = io::Hdf5File::create(comm, path);
  write(file, model, true);
  file.finish();
  auto read = read_model(io::Hdf5File::open(comm, path, io::Origin::mercer), kernel);
  ASSERT_TRUE(read.refers());
  load_rows(read, "", {}, comm);  // throws where the hash differs
  EXPECT_EQ(test::difference(test::replicated(read.rows), test::replicated(model.rows)), 0);
  EXPECT_EQ(read.reading.split, split_file);
  EXPECT_EQ(read.reading.limit, n / 2);
}

// --- stored kernels

TEST_F(OwnRidge, VerifiesStoredKernelsWithoutBeingAsked) {
  if (!comm.valid()) return;
  const dist::ProcessGrid grid(comm);
  const double gamma = 1e-2;
  auto split = sets(n);  // as many test rows as training rows: the shape does not tell a transpose
  const auto write_kernel = [&](const std::string& name, Index rows, Index columns,
                                std::uint64_t rows_hash, std::uint64_t columns_hash) {
    const auto path = folder / name;
    const Dense values = k(rows, n, columns, n, 1);
    auto file = io::Hdf5File::create(comm, path);
    file.write("/kernel",
               test::row_block(comm, n, n, [&](Index i, Index j) { return values(i, j); }));
    file.attribute("/", "data_hash", hash_text(rows_hash));
    file.attribute("/", "data2_hash", hash_text(columns_hash));
    file.finish();
    return path;
  };
  const auto train = split.train.hash, test = split.test->hash;
  const auto K_file = write_kernel("K.h5", 0, 0, train, train);
  const auto cross = write_kernel("C.h5", n, 0, test, train);
  const auto transposed = write_kernel("T.h5", 0, n, train, test);
  const auto resources = Resources::of(grid);
  const Dense f = predicted(test::solved(test::plus_ridge(K(), gamma), Y()), n);
  for (const auto& name : {cross, transposed}) {
    const auto stored = gram::Source::stored(K_file + "," + name);
    const auto plan = jobs::plan({.ridges = {gamma}}, stored, split, resources, comm);
    EXPECT_TRUE(plan.notes.empty());
    const auto fit = jobs::fit(plan, split, grid, silent);
    const auto along = errors_along(plan, fit, split, silent);
    EXPECT_LE(test::difference(test::replicated(along.best.values), f), kTolerance);
    auto model = model_of(plan, fit, data::of_rows(points(0, n), targets(0, n)), split.preparation);
    model.kernel = stored;  // not verified yet
    EXPECT_LE(test::difference(test::replicated(predict(model, *split.test, silent).values), f),
              kTolerance);
    const auto others = data::of_rows(points(2 * n, n));
    EXPECT_NE(error<InputError>([&] { predict(model, others, silent); }).find("hash"),
              std::string::npos);
    const auto changed = data::split_of(data::of_rows(points(0, n), targets(0, n)),
                                        data::of_rows(points(2 * n, n), targets(2 * n, n)));
    EXPECT_NE(error<InputError>([&] { errors_along(plan, fit, changed, silent); }).find("hash"),
              std::string::npos);
  }
  const auto moved = data::split_of(data::of_rows(points(1, n), targets(1, n)));
  EXPECT_NE(error<InputError>([&] {
              jobs::plan({.ridges = {gamma}}, gram::Source::stored(K_file), moved, resources, comm);
            }).find("hash"),
            std::string::npos);
}

}  // namespace
}  // namespace mercer::jobs
