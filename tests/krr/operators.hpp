#pragma once

#include <vector>

#include "krr/naive.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "support/dense_operator.hpp"
#include "support/oracles.hpp"

/// What the tests of iterative ridge regression share.
namespace mercer::test {

/// The top k pairs of HouseholderMatrix(lambda) by rows, as if a solver had found them.
inline spectral::TopPairs householder_top(const comm::Communicator& comm,
                                          const std::vector<double>& lambda, Index k) {
  const HouseholderMatrix A(lambda);
  const auto n = static_cast<Index>(lambda.size());
  const dist::RowPartition rows{n, comm.size()};
  spectral::TopPairs pairs{.n = n};
  pairs.values.assign(lambda.begin(), lambda.begin() + k);
  pairs.next = k < n ? lambda[static_cast<std::size_t>(k)] : (n > 0 ? lambda.back() : 0);
  for (double l : lambda) pairs.trace += l;
  pairs.vectors = Matrix<double>(rows.size(comm.rank()), k);
  for (Index m = 0; m < k; ++m)
    for (Index i = 0; i < pairs.vectors.rows(); ++i)
      pairs.vectors(i, m) = A.eigenvector(rows.begin(comm.rank()) + i, m);
  return pairs;
}

/// This rank's rows of the n x c matrix f(i, j).
template <class F>
Matrix<double> own_rows(const comm::Communicator& comm, Index n, Index c, F&& f) {
  return dist::to_columns(row_block(comm, n, c, f));
}

/// All rows on every rank.
inline Dense replicated(const comm::Communicator& comm, Index n, MatrixView<const double> A) {
  return replicated(dist::to_row_block(comm, n, A));
}

/// An operator as a matrix on every rank.
inline Dense dense_of(const gram::Operator& K) {
  const Matrix<double> I =
      own_rows(K.comm(), K.size(), K.size(), [](Index i, Index j) { return i == j ? 1.0 : 0.0; });
  Matrix<double> A(I.rows(), I.cols(), std::nan(""));
  K.apply(I.view(), A.view());
  return replicated(K.comm(), K.size(), A.view());
}

}  // namespace mercer::test
