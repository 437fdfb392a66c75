#pragma once

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

// Blocks of vectors by rows (each rank has its rows of n x b), and the small matrices between them,
// which every rank has.

namespace mercer::krr {

using View = MatrixView<const double>;

/// A^T B is asked for.
struct Inner {
  View A, B;
};
void inner_products(const comm::Communicator& comm, std::span<const Inner> wanted,
                    std::span<Matrix<double>> results);
/// A^T B for every pair, on all ranks, in one sum. Collective.
template <class... Pairs>
std::array<Matrix<double>, sizeof...(Pairs)> inner(const comm::Communicator& comm,
                                                   const Pairs&... pairs) {
  const std::array<Inner, sizeof...(Pairs)> wanted{pairs...};
  std::array<Matrix<double>, sizeof...(Pairs)> results;
  inner_products(comm, wanted, results);
  return results;
}

/// A C, and Y <- Y + sign A C: local rows times a small matrix, or small matrices. Local.
Matrix<double> times(View A, View C);
void add_times(double sign, View A, View C, MatrixView<double> Y);
/// A <- A C for C square, by panels of rows: no second block. Local.
void multiply(Matrix<double>& A, View C);
/// A^T C of small matrices. Local.
Matrix<double> transposed_times(View A, View C);

/// Euclidean norm of every column. Collective.
std::vector<double> column_norms(const comm::Communicator& comm, View A);
/// Sum over the rows of A o B by column. Collective.
std::vector<double> column_dots(const comm::Communicator& comm, View A, View B);

struct SmallEigenpairs {
  std::vector<double> values;  ///< ascending
  Matrix<double> vectors;
};
/// Of a symmetric matrix that all ranks have: rank 0's bits on every rank, so that decisions taken
/// from them are one. Collective. Throws RunError where G is not finite.
SmallEigenpairs symmetric_eigenpairs(const comm::Communicator& comm, Matrix<double>&& G);

/// `rows` (global indices, the same on all ranks) of A, whose first local row is `first`, on all
/// ranks: rows.size() x A.cols. Collective.
Matrix<double> gather_rows(const comm::Communicator& comm, View A, Index first,
                           std::span<const Index> rows);

}  // namespace mercer::krr
