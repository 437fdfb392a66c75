#pragma once

#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::msk {

/// S = I - sum_(i<=k) (1 - g(lambda_i)/lambda_i) v_i v_i^T = I + V diag(c) V^T ([G] eq. 14),
/// c_i = g(lambda_i)/lambda_i - 1, so that K S has the eigenvalues g(lambda_i) for i <= k and
/// lambda_i after. Never formed.
///
/// For vectors that are kept by rows (dist::RowPartition of n): this rank holds the k x m transpose
/// of its own m rows of V, and applies S to its rows of a block of vectors in either layout:
///
///     c x m   a row of the data set as a column: residuals in training. project(), the caller's
///             sum over the ranks, which can carry more, add(); or apply();
///     m x b   a vector as a column, as gram::Operator has them: apply_columns().
///
/// S R costs 4 k c m flops a rank and one sum of k c numbers over the ranks. T = double, float: for
/// float the projections of residuals are float GEMMs over blocks of 256 rows, whose results are
/// summed in double.
template <class T>
class Preconditioner {
 public:
  /// The identity: k = 0.
  Preconditioner() = default;
  /// From the top pairs, by rows as the iterative solver leaves them (local), or on the grid, from
  /// where they are redistributed once (collective over the pairs' grid; panels below 64 MiB).
  /// Modes with c_i = 0 are dropped. Memory: n k/P numbers of T a rank. Throws InputError when
  /// `spectrum` is not one of these pairs' length.
  Preconditioner(const spectral::TopPairs& pairs, const ModifiedSpectrum& spectrum);
  Preconditioner(const spectral::Eigenpairs<double>& pairs, const ModifiedSpectrum& spectrum);
  /// From what vectors() and coefficients() gave. Local. Throws RunError where they differ in k.
  Preconditioner(Matrix<T> vectors, std::vector<double> coefficients);

  Index k() const { return static_cast<Index>(c_.size()); }
  bool identity() const { return c_.empty(); }
  const Matrix<T>& vectors() const { return V_; }                 ///< k x m
  const std::vector<double>& coefficients() const { return c_; }  ///< c_i
  /// lambda_i of the modes that are kept; empty where S was rebuilt from vectors and coefficients.
  const std::vector<double>& eigenvalues() const { return lambda_; }

  /// Makes room for residuals of `outputs` columns, so that project() and add() allocate nothing
  /// (without it the first of their calls does). Not thread-safe. Local. Memory: c k of T.
  void reserve(Index outputs) const;
  /// P = R V, c x k: this rank's part (0 where it has no rows). Local; allocates nothing.
  void project(MatrixView<const T> R, MatrixView<double> P) const;
  /// Z = R + (P diag(c)) V^T for P summed over the ranks. Z may be R. Local; allocates nothing.
  void add(MatrixView<const T> R, MatrixView<const double> P, MatrixView<T> Z) const;
  /// sum_i c_i |P_i|^2 = r.(S r) - |r|^2, for P summed over the ranks. Local.
  double excess(MatrixView<const double> P) const;
  /// Z = S R for residuals c x m: the three above with the sum. Collective.
  void apply(const comm::Communicator& comm, MatrixView<const T> R, MatrixView<T> Z) const;

  /// X <- S X for this rank's m rows of b vectors. Collective.
  void apply_columns(const comm::Communicator& comm, MatrixView<T> X) const;
  /// Y <- Y + V diag(weights) V^T X, m x b each; Y may be X. Collective.
  void add_modes(const comm::Communicator& comm, std::span<const double> weights,
                 MatrixView<const T> X, MatrixView<T> Y) const;

 private:
  /// Keeps the modes that g changes: their columns.
  std::vector<Index> keep(Index pairs, const ModifiedSpectrum& spectrum);

  Matrix<T> V_;
  std::vector<double> c_, lambda_;
  mutable RawVector<T> small_;  ///< c x k, of project() and add()
};

/// P = R V^T, c x k, for R c x m and V k x m. Local. T = float: float GEMMs over blocks of 256
/// rows, whose results are widened and summed in `scratch`'s place, c k elements; double needs
/// none.
template <class T>
void project_rows(MatrixView<const T> R, MatrixView<const T> V, T* scratch, MatrixView<double> P);

}  // namespace mercer::msk
