#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "mercer/msk/spectrum_map.hpp"
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

/// g(lambda) of these pairs by g's text.
template <class T>
msk::ModifiedSpectrum mapped(const char* g, const spectral::Eigenpairs<T>& pairs) {
  return msk::SpectrumMap::parse(g).apply(pairs.values, pairs.next, pairs.k() == pairs.n(),
                                          msk::SpectrumMap::Positivity::positive);
}

/// Entry (i, a) of sines().
inline double sine(Index i, Index a) {
  return std::sin(static_cast<double>(3 * i + 7 * a + 1));
}

/// n x outputs values of size 1 without a pattern: a residual.
template <class T>
dist::RowBlock<T> sines(const comm::Communicator& comm, Index n, Index outputs) {
  dist::RowBlock<T> R(comm, n, outputs);
  for (Index j = 0; j < R.local_rows(); ++j)
    for (Index a = 0; a < outputs; ++a)
      R.transposed()(a, j) = static_cast<T>(sine(R.first_row() + j, a));
  return R;
}

}  // namespace mercer::test
