#pragma once

#include <vector>

#include "mercer/gram/operator.hpp"

namespace mercer::spectral {

/// A^T B summed over the ranks, the same bits on all. Rows of A and B are this rank's. Collective.
Matrix<double> inner(const comm::Communicator& comm, MatrixView<const double> A,
                     MatrixView<const double> B);

/// Whether every entry is a finite number. Local.
bool finite(MatrixView<const double> A);

/// The orthonormal columns of a Krylov basis, distributed by rows as an operator's vectors.
class Basis {
 public:
  /// Borrows everything. Q: this rank's rows; `drawn`: counts the random columns used. Local.
  Basis(const gram::Operator& K, MatrixView<double> Q, std::uint64_t seed, Index& drawn)
      : comm_(K.comm()), n_(K.size()), first_(K.first_row()), Q_(Q), seed_(seed), drawn_(drawn) {}

  MatrixView<double> columns(Index first, Index count) const {
    return Q_.block(0, first, Q_.rows, count);
  }
  /// Column j <- scale times standard normal numbers, the same for every number of ranks. Local.
  void draw(Index j, double scale);

  /// W <- W - Q_p Q_p^T W for W = Q(:, at ... at + width - 1) and the columns p = first ... last -
  /// 1 of Q; returns Q_p^T W. Collective. Throws RunError where that is not finite.
  Matrix<double> project(Index first, Index last, Index at, Index width);

  /// Replaces the columns W = Q(:, at ... at + width - 1) by q = min(width, n - at) orthonormal
  /// columns X, orthogonal to all columns before them, such that W = X B + a part in the span of
  /// the columns before. Returns B, q x width. Directions of W shorter than `floor` are replaced by
  /// random ones, with rows of zeros in B. Works blockwise with Gram matrices: the block is
  /// whitened (columns scaled to unit norm; eigenvectors of the Gram matrix, small eigenvalues
  /// lifted to 1e-14 as in shifted Cholesky QR: Fukaya, Kannan, Nakatsukasa, Yamamoto, Yanagisawa,
  /// SIAM J. Sci. Comput. 42 (2020)), then projected and whitened until the block is orthonormal.
  /// Usually one sum of width^2 and one of (at + width) width numbers, 4 n (at + 2 width) width
  /// flops. Collective. Throws RunError where W is not finite or 30 passes do not suffice.
  Matrix<double> orthonormalise(Index at, Index width, double floor);

  /// Q(:, first ... first + Y.cols) <- Q(:, first ... first + Y.rows) Y, in panels of rows. Local.
  void rotate(Index first, MatrixView<const double> Y);

 private:
  /// X <- X - Q Q^T X for the columns Q before X; returns X^T X of the result. Collective.
  Matrix<double> projected_gram(Index at, Index width);
  /// Replaces the columns whose contribution to W is no longer than `floor` by random ones; returns
  /// whether there were any. Local.
  bool replace_vanished(Index at, const Matrix<double>& G, double floor, Matrix<double>& B);
  /// orthonormalise() where fewer than `width` directions are left: a random orthonormal basis X of
  /// all that remain, and X^T W. Collective.
  Matrix<double> whole_complement(Index at, Index width);
  const comm::Communicator& comm_;
  Index n_, first_;
  MatrixView<double> Q_;
  std::uint64_t seed_;
  Index& drawn_;
};

}  // namespace mercer::spectral
