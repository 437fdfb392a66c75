#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "mercer/spectral/eigenpairs.hpp"
#include "support/compare.hpp"
#include "support/grids.hpp"
#include "support/oracles.hpp"

namespace mercer::test {

/// A matrix whose spectrum is known, descending.
struct Oracle {
  std::string name;
  std::function<double(Index, Index)> entry;
  std::vector<double> values;
};

inline Oracle min_oracle(Index n) {
  Oracle oracle{"min", MinMatrix{n}, {}};
  for (Index m = 0; m < n; ++m) oracle.values.push_back(MinMatrix{n}.eigenvalue(m));
  return oracle;
}

/// Spread over ten orders of magnitude, with one eigenvalue five times and the last fifth zero.
inline Oracle clustered_oracle(Index n) {
  std::vector<double> lambda(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    double& value = lambda[static_cast<std::size_t>(i)];
    const double x = static_cast<double>(i) / static_cast<double>(n);
    value = x >= 0.8 ? 0.0 : std::pow(10.0, -12 * x);
    if (i >= 3 && i < 8) value = lambda[2];
  }
  std::sort(lambda.rbegin(), lambda.rend());
  return {"clustered", HouseholderMatrix(lambda), lambda};
}

inline Oracle circulant_oracle(Index n) {
  const CirculantMatrix A{n, [](double c) { return std::exp(4 * (c - 1)); }};
  Oracle oracle{"circulant", A, {}};
  for (Index m = 0; m < n; ++m) oracle.values.push_back(A.eigenvalue(m));
  std::sort(oracle.values.rbegin(), oracle.values.rend());
  return oracle;
}

inline Oracle oracle(int kind, Index n) {
  return kind == 0 ? min_oracle(n) : kind == 1 ? clustered_oracle(n) : circulant_oracle(n);
}

/// Solves and expects values, exact residuals and orthogonality within 1e-12 n, independently of
/// what eigenpairs() measures itself.
inline spectral::Eigenpairs<double> expect_right(const Oracle& oracle,
                                                 const dist::ProcessGrid& grid, Index n, Index nb,
                                                 Index k, spectral::Method method) {
  SCOPED_TRACE(oracle.name + " n " + std::to_string(n) + " nb " + std::to_string(nb) + " k " +
               std::to_string(k) + " grid " + std::to_string(grid.rows()) + "x" +
               std::to_string(grid.cols()) + " " + spectral::name(method));
  const double tolerance = 1e-12 * static_cast<double>(n), lambda1 = oracle.values[0];
  dist::DistMatrix<double> K(grid, n, n, nb);
  K.fill(oracle.entry);
  spectral::Options options;
  options.top = k;
  options.method = method;
  auto pairs = spectral::eigenpairs(std::move(K), options);
  EXPECT_EQ(pairs.k(), k);
  EXPECT_EQ(pairs.vectors.rows(), n);
  EXPECT_EQ(pairs.vectors.cols(), k);
  EXPECT_EQ(pairs.vectors.nb(), nb);
  EXPECT_EQ(&pairs.vectors.grid(), &grid);
  for (std::size_t i = 0; i < pairs.values.size(); ++i)
    EXPECT_TRUE(std::abs(pairs.values[i] - oracle.values[i]) <= tolerance * lambda1)
        << "value " << i << " " << pairs.values[i] << " is not " << oracle.values[i];
  const auto next = static_cast<std::size_t>(std::min(k, n - 1));
  EXPECT_TRUE(std::abs(pairs.next - oracle.values[next]) <= tolerance * lambda1);
  dist::DistMatrix<double> again(grid, n, n, nb);
  again.fill(oracle.entry);
  spectral::measure_residuals(again, pairs);
  EXPECT_EQ(static_cast<Index>(pairs.residuals.size()), k);
  for (const double r : pairs.residuals) EXPECT_TRUE(r <= tolerance) << "residual " << r;
  EXPECT_TRUE(pairs.orthogonality <= tolerance) << pairs.orthogonality;
  return pairs;
}

/// Every `stride`-th case of sizes x blocks x methods x oracles x k, on every grid of the ranks.
/// Returns how many were solved.
inline Index sweep(Index stride, const std::vector<Index>& sizes,
                   const std::vector<Index>& blocks) {
  using spectral::Method;
  const auto world = comm::Communicator::world();
  Index number = 0, solved = 0;
  for (const auto shape : grid_shapes(world.size())) {
    const dist::ProcessGrid grid(world, shape);
    for (const Index n : sizes)
      for (const Index nb : blocks)
        for (const Method method :
             {Method::elpa1, Method::elpa2, Method::scalapack, Method::lapack, Method::automatic})
          for (const int kind : {0, 1, 2})
            for (const Index k : {n, (n + 3) / 4, ceil_div(n, 30)}) {
              if (number++ % stride != 0) continue;
              expect_right(oracle(kind, n), grid, n, nb, k, method);
              ++solved;
            }
  }
  return solved;
}

}  // namespace mercer::test
