#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "mercer/spectral/eigenpairs.hpp"
#include "support/oracles.hpp"

namespace mercer::test {

/// lambda_i = first decay^i, i = 0 ... n-1.
inline std::vector<double> geometric(Index n, double first, double decay) {
  std::vector<double> lambda;
  for (Index i = 0; i < n; ++i) lambda.push_back(first * std::pow(decay, static_cast<double>(i)));
  return lambda;
}

/// The top k eigenpairs of HouseholderMatrix(lambda), lambda descending, as if a solver had found
/// them.
template <class T>
spectral::Eigenpairs<T> householder_pairs(const std::vector<double>& lambda, Index k,
                                          const dist::ProcessGrid& grid, Index nb) {
  const HouseholderMatrix A(lambda);
  const auto n = static_cast<Index>(lambda.size());
  spectral::Eigenpairs<T> pairs{.values = {lambda.begin(), lambda.begin() + k},
                                .vectors = dist::DistMatrix<T>(grid, n, k, nb)};
  pairs.next = k < n ? lambda[static_cast<std::size_t>(k)] : (n > 0 ? lambda.back() : 0);
  pairs.vectors.fill([&](Index i, Index m) { return A.eigenvector(i, m); });
  for (double l : lambda) pairs.trace += l;
  return pairs;
}

}  // namespace mercer::test
