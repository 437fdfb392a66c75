#include <gtest/gtest.h>

#include "mercer/spectral/estimates.hpp"
#include "support/dense_operator.hpp"
#include "sweep.hpp"

namespace mercer::spectral {
namespace {

using comm::Communicator;
using test::DenseOperator;

double sum_of(const std::vector<double>& lambda, const std::function<double(double)>& f) {
  double sum = 0;
  for (const double value : lambda) sum += f(value);
  return sum;
}

void expect_within(const Estimate& estimate, double exact, double rounding) {
  EXPECT_TRUE(std::abs(estimate.value - exact) <= 4 * estimate.error + rounding)
      << estimate.value << " +- " << estimate.error << " is not " << exact;
}

TEST(Estimates, KnowTheTrace) {
  for (const Index n : {1, 5, 80})
    EXPECT_NEAR(trace(DenseOperator(Communicator::world(), n, test::MinMatrix{n})),
                static_cast<double>(n * (n + 1)) / 2, 1e-10);
}

TEST(Estimates, LieWithinFourOfTheirDeviations) {
  for (const std::uint64_t seed : {0, 1, 2})
    for (const int kind : {0, 1, 2}) {
      const Index n = 150;
      const auto oracle = test::oracle(kind, n);
      const DenseOperator K(Communicator::world(), n, oracle.entry);
      const auto q = lanczos_quadrature(K, {.probes = 24, .steps = 40, .seed = seed});
      const double size = oracle.values[0];
      SCOPED_TRACE(oracle.name + " seed " + std::to_string(seed));
      EXPECT_EQ(q.nodes.size(), 24u);
      for (const double ridge : {1e-3 * size, 0.1 * size}) {
        expect_within(q.log_determinant(ridge),
                      sum_of(oracle.values, [&](double l) { return std::log(l + ridge); }), 1e-6);
        expect_within(q.statistical_dimension(ridge),
                      sum_of(oracle.values, [&](double l) { return l / (l + ridge); }), 1e-6);
        EXPECT_LE(q.statistical_dimension(ridge).error, 6);
      }
      expect_within(q.trace_of([](double l) { return l * l; }),
                    sum_of(oracle.values, [](double l) { return l * l; }), 1e-9 * size * size);
      std::vector<double> points;
      for (double x = -0.05; x < 1.1; x += 0.1) points.push_back(x * size);
      const auto counts = q.count_below(points);
      ASSERT_EQ(counts.size(), points.size());
      for (std::size_t i = 0; i < points.size(); ++i)
        expect_within(counts[i],
                      sum_of(oracle.values, [&](double l) { return l < points[i] ? 1.0 : 0.0; }),
                      1e-9);
      EXPECT_LE(q.largest, size * (1 + 1e-12));
      EXPECT_GE(q.largest, 0.999 * size);
    }
}

TEST(Estimates, OfAProbeAreExactWhereTheStepsSpanTheSpace) {
  // z^T f(K) z of every probe, from the closed form of the eigenvectors.
  const auto world = Communicator::world();
  const Index n = 30;
  const test::MinMatrix A{n};
  const DenseOperator K(world, n, A);
  const EstimateOptions options{.probes = 5, .steps = n, .seed = 3};
  const auto q = lanczos_quadrature(K, options);
  const auto more = lanczos_quadrature(K, {.probes = 5, .steps = 10 * n, .seed = 3});
  EXPECT_NEAR(q.smallest, A.eigenvalue(n - 1), 1e-12 * A.eigenvalue(0));
  EXPECT_EQ(q.smallest_residual, 0);
  EXPECT_NEAR(q.largest, A.eigenvalue(0), 1e-12 * A.eigenvalue(0));
  for (std::size_t z = 0; z < 5; ++z) {
    ASSERT_EQ(q.nodes[z].size(), static_cast<std::size_t>(n));
    EXPECT_TRUE(q.complete[z]);
    double sum = 0;
    for (Index m = 0; m < n; ++m) {
      EXPECT_NEAR(q.nodes[z][static_cast<std::size_t>(n - 1 - m)], A.eigenvalue(m),
                  1e-11 * A.eigenvalue(0));
      EXPECT_NEAR(more.nodes[z][static_cast<std::size_t>(m)],
                  q.nodes[z][static_cast<std::size_t>(m)], 1e-11 * A.eigenvalue(0));
      sum += q.weights[z][static_cast<std::size_t>(m)];
    }
    EXPECT_NEAR(sum, 1, 1e-12);
  }
  // No quadrature error is left: counts are sums of weights, with the probes' deviation alone.
  const auto count = q.count_below({0.5 * (A.eigenvalue(3) + A.eigenvalue(4))})[0];
  double mean = 0;
  for (std::size_t z = 0; z < 5; ++z)
    for (std::size_t m = 0; m < static_cast<std::size_t>(n - 4); ++m) mean += q.weights[z][m];
  EXPECT_NEAR(count.value, static_cast<double>(n) * mean / 5, 1e-10);
}

TEST(Estimates, BoundTheSmallestEigenvalue) {
  const Index n = 200;
  std::vector<double> lambda;  // well separated at the lower end
  for (Index i = 0; i < n; ++i) lambda.push_back(1 + 0.01 * static_cast<double>(n - i));
  lambda.back() = 0.25;
  const DenseOperator K(Communicator::world(), n, test::HouseholderMatrix(lambda));
  const auto q = lanczos_quadrature(K, {.probes = 4, .steps = 40});
  EXPECT_GE(q.smallest, 0.25 - 1e-12);
  EXPECT_TRUE(std::abs(q.smallest - 0.25) <= q.smallest_residual + 1e-12)
      << q.smallest << " " << q.smallest_residual;
  EXPECT_LE(q.smallest_residual, 1e-3);
}

TEST(Estimates, OfTheZeroMatrixAndTheIdentityAreExact) {
  for (const Index n : {1, 2, 40})
    for (const double value : {0.0, 3.0}) {
      const DenseOperator K(Communicator::world(), n,
                            [&](Index i, Index j) { return i == j ? value : 0.0; });
      const auto q = lanczos_quadrature(K);
      const auto det = q.log_determinant(0.5);
      EXPECT_NEAR(det.value, static_cast<double>(n) * std::log(value + 0.5), 1e-10);
      EXPECT_LE(det.error, 1e-12);
      EXPECT_NEAR(q.smallest, value, 1e-12);
      const auto counts = q.count_below({value - 1e-6, value + 1e-6});
      EXPECT_NEAR(counts[0].value, 0, 1e-10);
      EXPECT_NEAR(counts[1].value, static_cast<double>(n), 1e-10);
      EXPECT_LE(counts[0].error + counts[1].error, 1e-10);
    }
}

TEST(Estimates, AreTheSameForEveryNumberOfRanks) {
  // Rank 0 alone on its own communicator, and all together.
  const auto world = Communicator::world();
  const auto alone = world.split(world.rank(), 0);
  const Index n = 60;
  const auto oracle = test::circulant_oracle(n);
  const auto a = lanczos_quadrature(DenseOperator(world, n, oracle.entry), {.steps = 20});
  const auto b = lanczos_quadrature(DenseOperator(alone, n, oracle.entry), {.steps = 20});
  EXPECT_NEAR(a.log_determinant(0.1).value, b.log_determinant(0.1).value, 1e-9);
  EXPECT_NEAR(a.largest, b.largest, 1e-10 * oracle.values[0]);
}

TEST(Estimates, RefuseWhatTheyCannotDo) {
  const auto world = Communicator::world();
  const DenseOperator K(world, 20, test::MinMatrix{20});
  EXPECT_THROW(lanczos_quadrature(K, {.probes = 1}), InputError);
  EXPECT_THROW(lanczos_quadrature(K, {.steps = 0}), InputError);
  EXPECT_THROW(lanczos_quadrature(DenseOperator(world, 0, test::MinMatrix{0})), InputError);
  const DenseOperator bad(world, 20, [](Index i, Index j) {
    return i == 3 && j == 3 ? test::kNaN : test::MinMatrix{20}(i, j);
  });
  EXPECT_THROW(lanczos_quadrature(bad), RunError);
  const auto q = lanczos_quadrature(K);
  EXPECT_THROW(q.log_determinant(-1), RunError);
  EXPECT_THROW(q.statistical_dimension(-1), RunError);
  EXPECT_THROW(q.trace_of([](double) { return test::kNaN; }), RunError);
}

}  // namespace
}  // namespace mercer::spectral
