#include <algorithm>
#include <limits>

#include "dense.hpp"
#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/train/rate.hpp"

namespace mercer::train {
namespace {

using test::DenseProblem;

struct RateTest : testing::Test {
  comm::Communicator world = comm::Communicator::world();
};

/// The largest eigenvalue of S^(1/2) J J^T S^(1/2), which are those of J J^T S.
double dense_lambda_max(const DenseProblem& problem) {
  const auto B = test::product(problem.jacobian(problem.w), problem.S(0.5), false);
  auto M = test::product(B, B, true);
  return blas::syevd(M.view()).back();
}

std::vector<DenseProblem> problems() {
  std::vector<DenseProblem> all;
  all.push_back(test::dense_problem("dense(16) tanh dense(1)", 30, 3, 1, {}));
  all.push_back(test::dense_problem("dense(20) relu dense(2)", 17, 4, 2, test::flattening(6)));
  all.push_back(test::dense_problem("dense(32) erf dense(1)", 40, 2, 1, test::flattening(30)));
  // As K^-1: large eigenvalues.
  std::vector<double> inverse;
  for (int i = 0; i < 25; ++i) inverse.push_back(std::pow(1.3, i) - 0.999);
  all.push_back(test::dense_problem("dense(64) relu dense(1)", 25, 2, 1, inverse));
  return all;
}

TEST_F(RateTest, LambdaMaxIsTheDenseEigenvalueFromBelow) {
  for (const auto& problem : problems()) {
    const double expected = dense_lambda_max(problem);
    net::Evaluator<double> evaluator(problem.network, problem.n);
    for (const std::uint64_t seed : {0, 1, 2, 3}) {
      const auto rows = problem.part(world);
      const Bound bound = largest_eigenvalue<double>(world, evaluator, problem.w, rows, seed, 1e-3);
      EXPECT_TRUE(bound.lambda_max >= expected * (1 - 1e-3) &&
                  bound.lambda_max <= expected * (1 + 1e-12))
          << problem.network.text() << ": " << bound.lambda_max << " instead of " << expected;
      EXPECT_LE(bound.products, 30);
    }
  }
}

TEST_F(RateTest, LambdaMaxIsExactAfterAsManyProductsAsThereAreRows) {
  const auto problem = test::dense_problem("dense(16) tanh dense(1)", 6, 3, 1, test::flattening(3));
  const double expected = dense_lambda_max(problem);
  net::Evaluator<double> evaluator(problem.network, problem.n);
  const auto rows = problem.part(world);
  const Bound bound = largest_eigenvalue<double>(world, evaluator, problem.w, rows, 0, 0, 6);
  EXPECT_NEAR(bound.lambda_max / expected, 1, 1e-9);
}

TEST_F(RateTest, LambdaMaxIsTheSameForEveryNumberOfRanks) {
  const comm::Communicator self = world.split(world.rank(), 0);
  for (const auto& problem : problems()) {
    net::Evaluator<double> evaluator(problem.network, problem.n);
    const auto rows = problem.part(world), all = problem.part(self);
    const Bound one = largest_eigenvalue<double>(self, evaluator, problem.w, all, 4);
    const Bound many = largest_eigenvalue<double>(world, evaluator, problem.w, rows, 4);
    EXPECT_EQ(one.products, many.products);
    EXPECT_NEAR(many.lambda_max / one.lambda_max, 1, 1e-9);
  }
}

TEST_F(RateTest, FewProductsGiveALowerBoundAndAreCounted) {
  const auto problem = test::dense_problem("dense(20) relu dense(2)", 17, 4, 2, {});
  net::Evaluator<double> evaluator(problem.network, problem.n);
  const auto rows = problem.part(world);
  double before = 0;
  for (const int most : {1, 2, 3, 5}) {
    const Bound bound = largest_eigenvalue<double>(world, evaluator, problem.w, rows, 0, 0, most);
    EXPECT_EQ(bound.products, most);
    EXPECT_GT(bound.lambda_max, before);
    before = bound.lambda_max;
  }
  EXPECT_LE(before, dense_lambda_max(problem) * (1 + 1e-12));
}

TEST_F(RateTest, SinglePrecisionFindsTheSame) {
  for (const auto& problem : problems()) {
    std::vector<float> w(problem.w.begin(), problem.w.end());
    net::Evaluator<float> evaluator(problem.network, problem.n);
    const auto rows = problem.part<float>(world);
    const Bound bound = largest_eigenvalue<float>(world, evaluator, w, rows, 0);
    EXPECT_NEAR(bound.lambda_max / dense_lambda_max(problem), 1, 1e-3);
  }
}

TEST_F(RateTest, AnOperatorOfRankOneIsFoundAtOnce) {
  auto problem = test::dense_problem("dense(8) relu dense(1)", 9, 3, 1, {});
  std::ranges::fill(problem.w, 0.0);  // only the output bias is seen
  net::Evaluator<double> evaluator(problem.network, problem.n);
  auto rows = problem.part(world);
  const Bound bound = largest_eigenvalue<double>(world, evaluator, problem.w, rows, 0);
  // J J^T = bias_std^2 (1 1^T), whose only eigenvalue is n bias_std^2.
  EXPECT_NEAR(bound.lambda_max, 9 * 0.25, 1e-12);
  EXPECT_LE(bound.products, 2);
}

TEST_F(RateTest, NaNIsRefusedOnAllRanks) {
  auto problem = test::dense_problem("dense(8) relu dense(1)", 9, 3, 1, {});
  problem.w[3] = std::numeric_limits<double>::quiet_NaN();
  net::Evaluator<double> evaluator(problem.network, problem.n);
  auto rows = problem.part(world);
  EXPECT_THROW(largest_eigenvalue<double>(world, evaluator, problem.w, rows, 0), RunError);
}

}  // namespace
}  // namespace mercer::train
