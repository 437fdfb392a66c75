#pragma once

#include <span>
#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::train {

/// S = I + V diag(c) V^T ([G] eq. 14), c_i = g(lambda_i)/lambda_i - 1, for residuals that are kept
/// by rows: this rank holds the k x m transpose of its own m rows of V, redistributed once from the
/// block-cyclic pairs (dist::RowPartition of n). S r costs 4 k c m flops a rank and one all-reduce
/// of k c numbers, which the caller makes, so that it can carry more: project(), sum over the
/// ranks, add(). Residuals are c x m, a row of the data set as a column. T = double, float: for
/// float the projections are float GEMMs over blocks of 256 rows, whose results are summed in
/// double.
template <class T>
class RowPreconditioner {
 public:
  /// The identity: k = 0.
  RowPreconditioner() = default;
  /// Modes with c_i = 0 are dropped. Collective over the pairs' grid. Memory: n k/P numbers of T a
  /// rank, and the redistribution's panels (below 64 MiB). Throws InputError when `spectrum` is not
  /// one of these pairs' length.
  RowPreconditioner(const spectral::Eigenpairs<double>& pairs,
                    const msk::ModifiedSpectrum& spectrum);
  /// From what vectors() and coefficients() gave. Local. Throws RunError where they differ in k.
  RowPreconditioner(Matrix<T> vectors, std::vector<double> coefficients);

  Index k() const { return static_cast<Index>(c_.size()); }
  bool identity() const { return c_.empty(); }
  const Matrix<T>& vectors() const { return V_; }                 ///< k x m
  const std::vector<double>& coefficients() const { return c_; }  ///< c_i

  /// Makes room for residuals of `outputs` columns, so that project() and add() allocate nothing
  /// (without it the first of their calls does). Not thread-safe. Local. Memory: c k of T.
  void reserve(Index outputs) const;
  /// P = R V, c x k: this rank's part (0 where it has no rows). Local; allocates nothing.
  void project(MatrixView<const T> R, MatrixView<double> P) const;
  /// Z = R + (P diag(c)) V^T for P summed over the ranks. Z may be R. Local; allocates nothing.
  void add(MatrixView<const T> R, MatrixView<const double> P, MatrixView<T> Z) const;
  /// sum_i c_i |P_i|^2 = r.(S r) - |r|^2, for P summed over the ranks. Local.
  double excess(MatrixView<const double> P) const;

  /// Z = S R: the three above with the all-reduce. Collective.
  void apply(const comm::Communicator& comm, MatrixView<const T> R, MatrixView<T> Z) const;

 private:
  Matrix<T> V_;
  std::vector<double> c_;
  mutable RawVector<T> small_;  ///< c x k, of project() and add()
};

}  // namespace mercer::train
