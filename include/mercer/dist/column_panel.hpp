#pragma once

#include <algorithm>

#include "mercer/dist/dist_matrix.hpp"

namespace mercer::dist {

/// The smallest width, of at least `columns`, at which a block-cyclic matrix can be cut into column
/// panels with every column left on its rank: a multiple of nb times the process columns. Local.
template <class T>
Index panel_width(const DistMatrix<T>& A, Index columns) {
  const Index cycle = A.nb() * A.grid().cols();
  return std::max(Index{1}, ceil_div(columns, cycle)) * cycle;
}

/// This rank's part of columns first ... first + width - 1 of A (fewer at A's end), for a `first`
/// that is a multiple of a panel_width(): a view of contiguous columns. Local, O(1).
template <class T>
MatrixView<const T> local_panel(const DistMatrix<T>& A, Index first, Index width) {
  const Index begin = A.grid().active() ? A.col_map().lower_bound({first}).value : 0;
  const Index end = A.grid().active() ? A.col_map().lower_bound({first + width}).value : 0;
  return A.local().block(0, begin, A.local_rows(), end - begin);
}

}  // namespace mercer::dist
