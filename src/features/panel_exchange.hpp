#pragma once

#include <vector>

#include "mercer/dist/dist_matrix.hpp"

namespace mercer::features {

/// Gives every rank of a grid, for the rows of data that all ranks have features of, the features
/// of its process row and of its process column: what it needs of Psi for its part of the s x s
/// matrix Psi^T Psi. Each feature of another rank's rows travels to it once for each of the two.
template <class T>
class PanelExchange {
 public:
  explicit PanelExchange(const dist::ProcessGrid& grid, Index columns, Index nb)
      : grid_(grid), columns_(columns), nb_(nb) {}

  /// psi: s x m, features of this rank's m rows in columns. Valid until the next call. Collective
  /// over the grid's all() ranks. Memory: buffer_bytes().
  void exchange(MatrixView<const T> psi);
  /// Of all ranks' rows, in the order of the ranks: this process row's features x rows, and this
  /// process column's. No columns on an idle rank.
  MatrixView<const T> of_row() const { return of_row_; }
  MatrixView<const T> of_column() const { return of_column_; }

  /// Bytes of buffers of the rank with most, for panels of `rows` rows of all ranks. Local.
  static double buffer_bytes(dist::GridShape shape, Index columns, Index rows);

 private:
  dist::BlockCyclic1D rows_of(int p) const { return {columns_, nb_, p, grid_.rows()}; }
  dist::BlockCyclic1D columns_of(int q) const { return {columns_, nb_, q, grid_.cols()}; }
  /// Features of a row that rank (p, q) is sent: where one of its two sets is all of them, these.
  Index width(int p, int q) const;
  void pack(MatrixView<const T> psi, int p, int q, T* to) const;

  const dist::ProcessGrid& grid_;
  Index columns_, nb_;
  RawVector<T> send_, received_;
  Matrix<T> subset_;
  MatrixView<const T> of_row_, of_column_;
};

}  // namespace mercer::features
