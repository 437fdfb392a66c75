#pragma once

#include <vector>

#include "mercer/gram/operator.hpp"

namespace mercer::spectral {

/// A^T B summed over the ranks, the same bits on all. Rows of A and B are this rank's. Collective.
Matrix<double> inner(const comm::Communicator& comm, MatrixView<const double> A,
                     MatrixView<const double> B);

/// Whether every entry is a finite number. Local.
bool finite(MatrixView<const double> A);

/// The orthonormal columns of a Krylov basis, kept by rows over the ranks of an operator.
class Basis {
 public:
  /// Borrows everything; `drawn` counts the random columns used.
  Basis(const gram::Operator& K, MatrixView<double> Q, std::uint64_t seed, Index& drawn)
      : comm_(K.comm()), n_(K.size()), first_(K.first_row()), Q_(Q), seed_(seed), drawn_(drawn) {}

  MatrixView<double> columns(Index first, Index count) const {
    return Q_.block(0, first, Q_.rows, count);
  }
  /// Column j <- scale x standard normal numbers, the same for every number of ranks. Local.
  void draw(Index j, double scale);

  /// W <- W - Q_p Q_p^T W for the columns p = first ... last - 1; returns Q_p^T W. Collective.
  Matrix<double> project(Index first, Index last, Index at, Index width);

  /// The columns W = Q(:, at ... at + width - 1) become q = min(width, n - at) orthonormal ones X,
  /// orthogonal to all columns before them, and W = X B + (what lies in the columns before);
  /// returns B, q x width. Directions of W shorter than `floor` are replaced by random ones, with
  /// rows of zeros in B. Blockwise, by Gram matrices: norms are equalised and the block whitened
  /// (eigenvectors of the Gram matrix, small eigenvalues lifted to 1e-14 as in shifted Cholesky
  /// QR: Fukaya, Kannan, Nakatsukasa, Yamamoto, Yanagisawa, SIAM J. Sci. Comput. 42 (2020)), then
  /// projected and whitened until a projection changes nothing. Usually one sum of width^2 and one
  /// of (at + width) width numbers, 4 n (at + 2 width) width flops. Collective.
  Matrix<double> orthonormalise(Index at, Index width, double floor);

  /// Q(:, first ... first + Y.cols) <- Q(:, first ... first + Y.rows) Y, in panels of rows. Local.
  void rotate(Index first, MatrixView<const double> Y);

 private:
  /// X <- X - Q Q^T X, and X^T X of the result.
  Matrix<double> projected_gram(Index at, Index width);
  /// Draws the columns that are no longer than `floor` in units of W anew; whether there were any.
  bool replace_vanished(Index at, const Matrix<double>& G, double floor, Matrix<double>& B);
  Matrix<double> whole_complement(Index at, Index width);
  const comm::Communicator& comm_;
  Index n_, first_;
  MatrixView<double> Q_;
  std::uint64_t seed_;
  Index& drawn_;
};

}  // namespace mercer::spectral
