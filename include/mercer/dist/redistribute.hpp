#pragma once

#include <span>

#include "mercer/dist/dist_matrix.hpp"
#include "mercer/dist/row_block.hpp"

namespace mercer::dist {

/// Moves between the distributions, element by element where they belong, in panels of columns, so
/// that the buffers of a rank stay below about 64 MiB whatever the size (ScaLAPACK's pdgemr2d keeps
/// buffers of 2 GB and overflows 32-bit indices). All collective over the grid's all() ranks.
/// Bytes sent: each element once, where it changes its rank.

/// B = A: block-cyclic to block-cyclic, of any two grids over the same ranks and any block sizes.
template <class T>
void copy(const DistMatrix<T>& A, DistMatrix<T>& B);
/// rows = A, and A = rows: n x m each; the row block's communicator has the ranks of A's grid.
template <class T>
void copy(const DistMatrix<T>& A, RowBlock<T>& rows);
template <class T>
void copy(const RowBlock<T>& rows, DistMatrix<T>& A);

/// The same for a panel of rows: panel = rows [first, first + panel.rows()) of A, and back. For
/// files, and for whatever else goes through a large matrix row by row.
template <class T>
void copy_rows(const DistMatrix<T>& A, Index first, RowBlock<T>& panel);
template <class T>
void copy_rows(const RowBlock<T>& panel, Index first, DistMatrix<T>& A);

/// Rows `wanted` (global indices, any order, repeats allowed, different on every rank) of a row
/// block: wanted.size() rows of cols() contiguous elements, as the columns of a cols() x
/// wanted.size() matrix. Collective. Memory: the result and a copy of it on the way.
template <class T>
Matrix<T> fetch_rows(const RowBlock<T>& rows, std::span<const Index> wanted);
/// All rows on every rank: cols() x rows() column-major. For objects that are small by nature.
template <class T>
Matrix<T> all_rows(const RowBlock<T>& rows);

/// Fills the upper triangle of the square A with the transpose of its lower one, so that both are
/// equal to the bit. Collective; bytes sent: at most n^2/2 elements over all ranks; buffers below
/// about 64 MiB a rank.
template <class T>
void mirror_lower(DistMatrix<T>& A);

}  // namespace mercer::dist
