#pragma once

#include <span>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::dist {

/// Columns first ... first + count - 1 of A. Local.
RowBlock<double> take_columns(const RowBlock<double>& A, Index first, Index count);

/// The rows of `above`, then those of `below`, distributed anew over the same ranks. Collective.
/// Throws InputError where their numbers of columns differ.
template <class T>
RowBlock<T> concatenate(const RowBlock<T>& above, const RowBlock<T>& below);

/// Rows first ... first + count - 1 of A, on A's grid with A's block size. Collective; moved in
/// panels of 256 columns or more.
template <class T>
DistMatrix<T> take_rows(const DistMatrix<T>& A, Index first, Index count);

/// Columns `wanted` (ascending, the same on every rank) of the n x k A by rows: the transpose of
/// this rank's m rows (RowPartition of n), wanted.size() x m, in T. Collective over A.grid().all().
/// Moved in panels of columns: beside the result a rank holds less than 64 MiB, or panels of one
/// cycle of blocks (nb columns for each process column).
template <class T>
Matrix<T> columns_by_rows(const DistMatrix<double>& A, std::span<const Index> wanted);

/// This rank's rows of A (RowPartition), m x A.cols(), in double and column-major, as
/// gram::Operator takes them. Collective over A.grid().all(); moved in panels as above.
template <class T>
Matrix<double> to_columns(const DistMatrix<T>& A);

/// This rank's rows of A as gram::Operator takes them (local_rows() x cols(), column-major), and
/// back: A's rows are this rank's part of `n` rows over `comm` (RowPartition). Local.
Matrix<double> to_columns(const RowBlock<double>& A);
RowBlock<double> to_row_block(const comm::Communicator& comm, Index n, MatrixView<const double> A);

}  // namespace mercer::dist
