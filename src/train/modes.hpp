#pragma once

#include <span>

#include "mercer/base/matrix.hpp"
#include "mercer/dist/dist_matrix.hpp"

namespace mercer::train {

/// Columns `wanted` (ascending) of the n x k A by rows, as the transpose of this rank's m rows
/// (dist::RowPartition of n): wanted.size() x m, in T. Collective over A's grid. Moved in panels of
/// columns: beside the result a rank holds less than 64 MiB, or one cycle of blocks.
template <class T>
Matrix<T> columns_by_rows(const dist::DistMatrix<double>& A, std::span<const Index> wanted);

/// P = R V^T, c x k, for R c x m and V k x m. Local. T = float: float GEMMs over blocks of rows,
/// whose results are widened and summed in `scratch`'s place, c k elements; double needs none.
template <class T>
void project_rows(MatrixView<const T> R, MatrixView<const T> V, T* scratch, MatrixView<double> P);

}  // namespace mercer::train
