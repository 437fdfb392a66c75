#pragma once

#include <array>
#include <utility>

#include "mercer/base/matrix.hpp"
#include "mercer/dist/block_cyclic.hpp"
#include "mercer/dist/process_grid.hpp"

namespace mercer::dist {

/// The nine integers by which ScaLAPACK knows a distributed matrix.
using Descriptor = std::array<int, 9>;

/// An n x m matrix, block-cyclic over a process grid P x Q with square nb x nb blocks and source
/// process (0, 0); the local part is column-major with leading dimension max(1, local rows). Idle
/// ranks hold no elements. Move-only. The grid must outlive the matrix. Memory: about n m / (P Q)
/// elements a rank. Elements start uninitialised: the code that fills them touches them first.
template <class T>
class DistMatrix {
 public:
  /// Local. Throws std::bad_alloc: to be called through comm::together() where it may not fit.
  DistMatrix(const ProcessGrid& grid, Index rows, Index cols, Index nb)
      : grid_(&grid),
        rows_{rows, nb, grid.active() ? grid.row() : 0, grid.rows()},
        cols_{cols, nb, grid.active() ? grid.col() : 0, grid.cols()},
        local_(grid.active() ? rows_.local_size() : 0, grid.active() ? cols_.local_size() : 0) {}

  const ProcessGrid& grid() const { return *grid_; }
  Index rows() const { return rows_.n; }
  Index cols() const { return cols_.n; }
  Index nb() const { return rows_.nb; }
  /// Index maps of this rank's process row and column; on an idle rank, those of process (0, 0).
  const BlockCyclic1D& row_map() const { return rows_; }
  const BlockCyclic1D& col_map() const { return cols_; }

  Index local_rows() const { return local_.rows(); }
  Index local_cols() const { return local_.cols(); }
  T* data() { return local_.data(); }
  const T* data() const { return local_.data(); }
  Index ld() const { return local_.ld(); }
  MatrixView<T> local() { return local_.view(); }
  MatrixView<const T> local() const { return local_.view(); }
  T& operator()(LocalIndex i, LocalIndex j) { return local_(i.value, j.value); }
  const T& operator()(LocalIndex i, LocalIndex j) const { return local_(i.value, j.value); }

  /// A(i, j) = f(i, j) of the global indices. Local.
  template <class F>
  void fill(F&& f) {
    for (Index j = 0; j < local_cols(); ++j)
      for (Index i = 0; i < local_rows(); ++i)
        local_(i, j) = static_cast<T>(f(rows_.global({i}).value, cols_.global({j}).value));
  }
  /// Local. Throws std::bad_alloc.
  DistMatrix copy() const {
    DistMatrix result(*grid_, rows(), cols(), nb());
    result.local_ = local_.copy();
    return result;
  }

  /// ScaLAPACK's descriptor; context -1 on idle ranks. Throws RunError for extents of 2^31 or more.
  /// Local.
  Descriptor descriptor() const {
    return {1,
            grid_->blacs_context(),
            to_int(rows(), "matrix rows"),
            to_int(cols(), "matrix columns"),
            to_int(nb(), "block size"),
            to_int(nb(), "block size"),
            0,
            0,
            to_int(ld(), "local leading dimension")};
  }

 private:
  const ProcessGrid* grid_;
  BlockCyclic1D rows_;
  BlockCyclic1D cols_;
  Matrix<T> local_;
};

}  // namespace mercer::dist
