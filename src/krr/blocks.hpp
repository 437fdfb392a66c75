#pragma once

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

// Operations on blocks of vectors, n x b by rows over the ranks, and on small matrices, of which
// every rank has a copy.

namespace mercer::krr {

using View = MatrixView<const double>;

/// A request for A^T B.
struct Inner {
  View A, B;
};
void inner_products(const comm::Communicator& comm, std::span<const Inner> wanted,
                    std::span<Matrix<double>> results);
/// A^T B of every request, on all ranks, by one sum over the ranks. Collective.
template <class... Pairs>
std::array<Matrix<double>, sizeof...(Pairs)> inner(const comm::Communicator& comm,
                                                   const Pairs&... pairs) {
  const std::array<Inner, sizeof...(Pairs)> wanted{pairs...};
  std::array<Matrix<double>, sizeof...(Pairs)> results;
  inner_products(comm, wanted, results);
  return results;
}

/// A C, and Y <- Y + sign A C: local rows times a small matrix, or both small. Local.
Matrix<double> times(View A, View C);
void add_times(double sign, View A, View C, MatrixView<double> Y);
/// A <- A C for C square, by panels of rows, without a second block. Local.
void multiply(Matrix<double>& A, View C);
/// A^T C of small matrices. Local.
Matrix<double> transposed_times(View A, View C);

/// Euclidean norm of every column. Collective.
std::vector<double> column_norms(const comm::Communicator& comm, View A);
/// Column sums of A o B over the rows of all ranks. Collective.
std::vector<double> column_dots(const comm::Communicator& comm, View A, View B);

struct SmallEigenpairs {
  std::vector<double> values;  ///< ascending
  Matrix<double> vectors;
};
/// Eigenpairs of a symmetric matrix that all ranks have. Every rank gets the same bits, so that all
/// ranks decide alike. Collective. Throws RunError where G is not finite.
SmallEigenpairs symmetric_eigenpairs(const comm::Communicator& comm, Matrix<double>&& G);

/// The rows `rows` (global indices, the same on all ranks) of A, on all ranks: rows.size() x
/// A.cols. `first`: global index of A's first local row. Collective.
Matrix<double> gather_rows(const comm::Communicator& comm, View A, Index first,
                           std::span<const Index> rows);

}  // namespace mercer::krr
