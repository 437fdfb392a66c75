#include <numeric>
#include <utility>

#include "dense.hpp"
#include "mercer/train/linear_model.hpp"
#include "mercer/train/rate.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct LinearModelTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();

  template <class T = double>
  LinearSteps steps(const DenseProblem& problem, double rate, const Options& options) const {
    net::Evaluator<T> evaluator(problem.network, problem.n);
    const auto rows = problem.part<T>(world);
    const std::vector<T> w(problem.w.begin(), problem.w.end());
    return linear_steps<T>(world, evaluator, w, rows, rate, options);
  }
};

/// The recursion itself, with J J^T S as a matrix, on one rank.
struct Recursion {
  Matrix<double> A;       // J J^T S, entry output + row c
  std::vector<double> r;  // r_0
  Index rows = 0;

  explicit Recursion(const DenseProblem& problem) : rows(problem.n) {
    const auto J = problem.jacobian(problem.w);
    A = test::product(test::product(J, J, true), problem.S(1), false);
    net::Evaluator<double> evaluator(problem.network, problem.n);
    Matrix<double> F(problem.outputs(), problem.n);
    evaluator.outputs(problem.w, problem.X.view(), F.view());
    for (Index i = 0; i < F.size(); ++i) r.push_back(F.data()[i] - problem.Y.data()[i]);
  }
  /// |r_t|/|r_0| for t = 0 ... steps.
  std::vector<double> residuals(double rate, Index steps) const {
    const auto norm = [](const std::vector<double>& x) {
      return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
    };
    std::vector<double> all, now = r;
    for (Index t = 0; t <= steps; ++t) {
      all.push_back(norm(now) / norm(r));
      auto next = now;
      for (std::size_t i = 0; i < now.size(); ++i)
        for (std::size_t j = 0; j < now.size(); ++j)
          next[i] -= rate * A(static_cast<Index>(i), static_cast<Index>(j)) * now[j];
      now = std::move(next);
    }
    return all;
  }
};

std::vector<DenseProblem> problems() {
  std::vector<DenseProblem> all;
  const auto gaussian = net::Start::gaussian;
  all.push_back(test::dense_problem("dense(16) tanh dense(1)", 30, 3, 1, {}));
  all.push_back(test::dense_problem("dense(16) tanh dense(2)", 25, 3, 2, {}, 1, gaussian));
  all.push_back(test::dense_problem("dense(20) relu dense(2)", 17, 4, 2, test::flattening(6)));
  // An S that makes the large eigenvalues larger still.
  all.push_back(test::dense_problem("dense(20) relu dense(2)", 17, 4, 2, {3, 1, 0.5}, 1, gaussian));
  return all;
}

TEST_F(LinearModelTest, TakesTheStepsOfTheRecursion) {
  for (const auto& problem : problems()) {
    const Recursion recursion(problem);
    const double rate = test::automatic_rate(world, problem);
    Options options;
    options.steps = 3000;
    const auto expected = recursion.residuals(rate, options.steps);
    for (const double tolerance : {0.9, 0.5, 0.2, 0.05, 1e-9}) {
      options.tolerance = tolerance;
      const auto found = steps(problem, rate, options);
      const auto first = std::ranges::find_if(expected, [&](double x) { return x <= tolerance; });
      const bool reached = first != expected.end();
      const auto t = static_cast<double>(reached ? first - expected.begin() : options.steps);
      EXPECT_EQ(found.reached, reached) << problem.network.text() << " to " << tolerance;
      // The step's change of |r| against the error, a thousandth of the target.
      EXPECT_NEAR(static_cast<double>(found.steps), t, 1 + 2e-3 * t)
          << problem.network.text() << " to " << tolerance;
      EXPECT_LE(found.products, 8 * std::sqrt(t) + 8);
    }
  }
}

TEST_F(LinearModelTest, FewStepsAreExactAndInSingleToo) {
  for (const auto& problem : problems()) {
    const double rate = test::automatic_rate(world, problem);
    const auto expected = Recursion(problem).residuals(rate, 8);
    Options options;
    for (std::size_t t = 1; t < expected.size(); ++t) {
      // Between two residuals, far from both by the rounding of single precision.
      options.tolerance = (expected[t] + expected[t - 1]) / 2;
      EXPECT_EQ(steps(problem, rate, options).steps, t);
      EXPECT_EQ(steps<float>(problem, rate, options).steps, t);
    }
  }
}

TEST_F(LinearModelTest, StopsAtTheLossAndSaysWhereNothingIsReached) {
  auto problem = test::dense_problem("dense(16) tanh dense(2)", 30, 3, 2, test::flattening(4));
  const double rate = test::automatic_rate(world, problem);
  Options options;
  options.tolerance = 0.25;
  const auto of_tolerance = steps(problem, rate, options);
  double square = 0;  // f = 0 at the antisymmetric start: r_0 = -Y
  for (Index i = 0; i < problem.Y.size(); ++i) square += std::pow(problem.Y.data()[i], 2);
  options.tolerance = 0;
  options.loss = 0.25 * 0.25 * square / static_cast<double>(problem.Y.size());
  EXPECT_EQ(steps(problem, rate, options).steps, of_tolerance.steps);
  EXPECT_TRUE(of_tolerance.reached);

  options.steps = of_tolerance.steps - 1;
  EXPECT_FALSE(steps(problem, rate, options).reached);
  EXPECT_EQ(steps(problem, rate, options).steps, options.steps);
  options.steps = 2000;
  EXPECT_FALSE(steps(problem, 2.5 * rate, options).reached);  // diverges

  std::fill_n(problem.Y.data(), problem.Y.size(), 0.0);
  const auto none = steps(problem, rate, options);
  EXPECT_TRUE(none.reached);
  EXPECT_EQ(none.steps, 0);
}

}  // namespace
}  // namespace mercer::train
