#pragma once

#include <span>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::dist {

/// Redistribution, in panels of columns, so that the buffers of a rank take 16 MiB at most, or what
/// one column needs (ScaLAPACK's pdgemr2d keeps buffers of 2 GB and overflows 32-bit indices). All
/// collective over the grid's all() ranks. Bytes sent: each element that changes its rank, once.
/// Throws RunError on all ranks where the extents do not match.

/// B = A: between any two grids over the same ranks, and any block sizes.
template <class T>
void copy(const DistMatrix<T>& A, DistMatrix<T>& B);
/// rows = A, and A = rows, both n x m; the row block's communicator has the ranks of
/// A.grid().all().
template <class T>
void copy(const DistMatrix<T>& A, RowBlock<T>& rows);
template <class T>
void copy(const RowBlock<T>& rows, DistMatrix<T>& A);

/// The same for a panel of rows: panel = rows [first, first + panel.rows()) of A, and back. For
/// files, and for other passes through a large matrix row by row.
template <class T>
void copy_rows(const DistMatrix<T>& A, Index first, RowBlock<T>& panel);
template <class T>
void copy_rows(const RowBlock<T>& panel, Index first, DistMatrix<T>& A);

/// Rows `wanted` (global indices in any order, repeats allowed, each rank its own) of a row block,
/// as the columns of a cols() x wanted.size() matrix. Collective. Memory: the result, the rows that
/// other ranks want of this one, and, where `wanted` does not ascend, the received rows once more.
/// A row that does not exist aborts the run.
template <class T>
Matrix<T> fetch_rows(const RowBlock<T>& rows, std::span<const Index> wanted);
/// All rows on every rank, as the columns of a cols() x rows() matrix. For small matrices.
/// Collective.
template <class T>
Matrix<T> all_rows(const RowBlock<T>& rows);

/// Fills the upper triangle of the n x n A with the transpose of its lower one, so that both are
/// equal to the bit. Collective; bytes sent: at most n^2/2 elements over all ranks; buffers: 16 MiB
/// a rank at most, or what one column of blocks needs. Throws RunError where A is not square.
template <class T>
void mirror_lower(DistMatrix<T>& A);

}  // namespace mercer::dist
