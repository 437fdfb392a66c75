#include <gtest/gtest.h>

#include "dense_operator.hpp"
#include "mercer/spectral/krylov.hpp"
#include "sweep.hpp"

namespace mercer::spectral {
namespace {

using comm::Communicator;
using test::DenseOperator;

/// Expects values, exact residuals and orthogonality, independently of what krylov() measures.
TopPairs expect_right(const test::Oracle& oracle, Index n, KrylovOptions options) {
  const auto world = Communicator::world();
  SCOPED_TRACE(oracle.name + " n " + std::to_string(n) + " k " + std::to_string(options.top) +
               " block " + std::to_string(options.block) + " basis " +
               std::to_string(options.basis));
  const DenseOperator K(world, n, oracle.entry);
  auto pairs = krylov(K, options);
  const double lambda1 = oracle.values[0] > 0 ? oracle.values[0] : 1;
  EXPECT_EQ(pairs.k(), options.top);
  EXPECT_EQ(pairs.vectors.rows(), K.local_rows());
  EXPECT_EQ(pairs.vectors.cols(), options.top);
  EXPECT_TRUE(pairs.finished);
  EXPECT_FALSE(pairs.residuals_exact);
  for (std::size_t i = 0; i < pairs.values.size(); ++i)
    EXPECT_TRUE(std::abs(pairs.values[i] - oracle.values[i]) <= options.tolerance * lambda1)
        << "value " << i << " " << pairs.values[i] << " is not " << oracle.values[i];
  const auto next = static_cast<std::size_t>(std::min(options.top, n - 1));
  EXPECT_TRUE(std::abs(pairs.next - oracle.values[next]) <= options.tolerance * lambda1)
      << pairs.next << " is not " << oracle.values[next];
  measure_residuals(K, pairs);
  EXPECT_TRUE(pairs.residuals_exact);
  EXPECT_EQ(static_cast<Index>(pairs.residuals.size()), options.top);
  for (const double r : pairs.residuals) EXPECT_TRUE(r <= 1.5 * options.tolerance) << r;
  EXPECT_TRUE(pairs.orthogonality <= 1e-13) << pairs.orthogonality;
  double sum = 0;
  for (const double v : oracle.values) sum += v;
  EXPECT_NEAR(pairs.trace, sum, 1e-12 * static_cast<double>(n) * lambda1);
  return pairs;
}

TEST(Krylov, FindsTheTopPairsOfEveryOracle) {
  for (const Index n : {1, 2, 3, 7, 50, 150, 300})
    for (const int kind : {0, 1, 2})
      for (const Index k : {Index{1}, (n + 9) / 10, (n + 1) / 2})
        expect_right(test::oracle(kind, n), n, {.top = k});
}

TEST(Krylov, FindsAlmostAllAndAllPairs) {
  for (const Index n : {1, 2, 9, 60})
    for (const int kind : {0, 1, 2})
      for (const Index k : {std::max<Index>(1, n - 1), n})
        expect_right(test::oracle(kind, n), n, {.top = k});
}

TEST(Krylov, RestartsInABasisThatHasHardlyMoreThanTheWantedPairs) {
  for (const int kind : {0, 1, 2}) {
    const auto pairs =
        expect_right(test::oracle(kind, 200), 200, {.top = 10, .block = 4, .basis = 23});
    EXPECT_GE(pairs.restarts, 1);
    EXPECT_EQ(pairs.basis, 23);
  }
}

}  // namespace
}  // namespace mercer::spectral
