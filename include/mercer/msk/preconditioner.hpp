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
/// lambda_i after. S is never formed.
///
/// For vectors that are distributed by rows (dist::RowPartition of n). This rank stores its m rows
/// of V as their k x m transpose, and applies S to its rows of a block of vectors in either layout:
///
///     c x m   each column is a row of the data set with its c outputs: residuals in training.
///             Either apply(), or project(), a sum over the ranks by the caller (who can sum other
///             numbers along with it), and add();
///     m x b   each column is a vector, as in gram::Operator: apply_columns().
///
/// S R costs 4 k c m flops a rank and one sum of k c numbers over the ranks. T = double or float.
/// With float, project() multiplies blocks of 256 rows in float and adds their results in double.
template <class T>
class Preconditioner {
 public:
  /// The identity: k = 0.
  Preconditioner() = default;
  /// From the top pairs: by rows as the iterative solver returns them (local), or on the grid
  /// (redistributed once, in panels below 64 MiB; collective over the pairs' grid). Modes with
  /// c_i = 0 are dropped. Memory: n k/P numbers of T a rank. Throws InputError where `spectrum`
  /// does not have as many values as there are pairs.
  Preconditioner(const spectral::TopPairs& pairs, const ModifiedSpectrum& spectrum);
  Preconditioner(const spectral::Eigenpairs<double>& pairs, const ModifiedSpectrum& spectrum);
  /// From vectors() and coefficients() of another S. Local. Throws RunError where they differ in k.
  Preconditioner(Matrix<T> vectors, std::vector<double> coefficients);

  Index k() const { return static_cast<Index>(c_.size()); }  ///< modes that are kept
  bool identity() const { return c_.empty(); }
  const Matrix<T>& vectors() const { return V_; }                 ///< k x m
  const std::vector<double>& coefficients() const { return c_; }  ///< c_i
  /// lambda_i of the modes that are kept; empty where S was rebuilt from vectors and coefficients.
  const std::vector<double>& eigenvalues() const { return lambda_; }

  /// Allocates workspace for residuals of c = `outputs` outputs, so that project() and add() need
  /// not (otherwise the first of their calls does). Not thread-safe. Local. Memory: c k of T.
  void reserve(Index outputs) const;
  /// P = R V, c x k, of this rank's rows (0 where it has none). Local; allocates nothing after
  /// reserve().
  void project(MatrixView<const T> R, MatrixView<double> P) const;
  /// Z = R + (P diag(c)) V^T for P summed over the ranks. Z may be R. Local; allocates nothing
  /// after reserve().
  void add(MatrixView<const T> R, MatrixView<const double> P, MatrixView<T> Z) const;
  /// sum_i c_i |P_i|^2 = r.(S r) - |r|^2, for P summed over the ranks. Local.
  double excess(MatrixView<const double> P) const;
  /// Z = S R for residuals c x m: project(), the sum over the ranks and add(). Z may be R.
  /// Collective.
  void apply(const comm::Communicator& comm, MatrixView<const T> R, MatrixView<T> Z) const;

  /// X <- S X for this rank's m rows of b vectors. Collective.
  void apply_columns(const comm::Communicator& comm, MatrixView<T> X) const;
  /// Y <- Y + V diag(weights) V^T X, m x b each; Y may be X. Collective: one sum of k b numbers.
  /// Throws RunError unless there are k() weights.
  void add_modes(const comm::Communicator& comm, std::span<const double> weights,
                 MatrixView<const T> X, MatrixView<T> Y) const;

 private:
  /// Stores c_i and lambda_i of the modes that g changes; returns their column numbers.
  std::vector<Index> keep(Index pairs, const ModifiedSpectrum& spectrum);

  Matrix<T> V_;
  std::vector<double> c_, lambda_;
  mutable RawVector<T> small_;  ///< c x k, workspace of project() and add()
};

/// P = R V^T, c x k, for R c x m and V k x m. Local. T = float: blocks of 256 columns are
/// multiplied in float, into `scratch` (c k elements), and added to P in double. T = double does
/// not use `scratch`.
template <class T>
void project_rows(MatrixView<const T> R, MatrixView<const T> V, T* scratch, MatrixView<double> P);

}  // namespace mercer::msk
