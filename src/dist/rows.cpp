#include "mercer/dist/rows.hpp"

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/column_panel.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::dist {
namespace {

/// The global indices of this rank's part (RowPartition) of the `count` rows from `first` on.
std::vector<Index> part_of(const comm::Communicator& comm, Index count, Index first) {
  const RowPartition partition{count, comm.size()};
  std::vector<Index> rows(static_cast<std::size_t>(partition.size(comm.rank())));
  std::iota(rows.begin(), rows.end(), first + partition.begin(comm.rank()));
  return rows;
}

constexpr Index kPanelBytes = Index{16} << 20;  // a rank's part: block-cyclic, and again by rows

/// Columns first ... first + count - 1 of A by rows; `first` begins a cycle of blocks. Collective.
template <class T>
RowBlock<T> panel_by_rows(const DistMatrix<T>& A, Index first, Index count) {
  DistMatrix<T> panel(A.grid(), A.rows(), count, A.nb());
  const auto source = local_panel(A, first, count);
  for (Index j = 0; j < source.cols; ++j)
    std::copy_n(source.column(j), source.rows, panel.local().column(j));
  RowBlock<T> rows(A.grid().all(), A.rows(), count);
  copy(panel, rows);
  return rows;
}

/// visit(first, rows) for panels of A's columns by rows, which begin at column `first`; a panel for
/// which wanted(first, columns) is false is left out. Beside A a rank holds less than 64 MiB, or
/// panels of one cycle of blocks. Collective.
template <class T, class Wanted, class Visit>
void for_panels(const DistMatrix<T>& A, Wanted&& wanted, Visit&& visit) {
  const comm::Communicator& comm = A.grid().all();
  const RowPartition rows{A.rows(), comm.size()};
  const Index column_bytes = std::max<Index>(1, rows.size(0)) * static_cast<Index>(sizeof(T));
  const Index cycle = panel_width(A, 1);
  const Index width = std::max(cycle, kPanelBytes / column_bytes / cycle * cycle);
  for (Index first = 0; first < A.cols(); first += width) {
    const Index columns = std::min(width, A.cols() - first);
    if (!wanted(first, columns)) continue;
    visit(first, panel_by_rows(A, first, columns));
  }
}

}  // namespace

RowBlock<double> take_columns(const RowBlock<double>& A, Index first, Index count) {
  RowBlock<double> part(A.comm(), A.rows(), count);
  for (Index i = 0; i < A.local_rows(); ++i)
    std::ranges::copy(
        A.row(i).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
        part.row(i).begin());
  return part;
}

template <class T>
RowBlock<T> concatenate(const RowBlock<T>& above, const RowBlock<T>& below) {
  if (above.cols() != below.cols())
    throw InputError("concatenate: {} columns above {}: the numbers must agree", above.cols(),
                     below.cols());
  RowBlock<T> result(above.comm(), above.rows() + below.rows(), above.cols());
  std::vector<Index> from_above = part_of(above.comm(), result.rows(), 0), from_below;
  const auto split = std::lower_bound(from_above.begin(), from_above.end(), above.rows());
  for (auto row = split; row != from_above.end(); ++row) from_below.push_back(*row - above.rows());
  from_above.erase(split, from_above.end());

  const Matrix<T> upper = fetch_rows(above, std::span<const Index>(from_above));
  const Matrix<T> lower = fetch_rows(below, std::span<const Index>(from_below));
  std::copy_n(upper.data(), upper.size(), result.values().data());
  std::copy_n(lower.data(), lower.size(), result.values().data() + upper.size());
  return result;
}

template <class T>
DistMatrix<T> take_rows(const DistMatrix<T>& A, Index first, Index count) {
  const comm::Communicator& all = A.grid().all();
  const std::vector<Index> wanted = part_of(all, count, first);
  DistMatrix<T> result(A.grid(), count, A.cols(), A.nb());
  const Index width = panel_width(A, 256);
  for (Index column = 0; column < A.cols(); column += width) {
    const Index w = std::min(width, A.cols() - column);
    const RowBlock<T> rows = panel_by_rows(A, column, w);
    const Matrix<T> fetched = fetch_rows(rows, std::span<const Index>(wanted));
    RowBlock<T> kept(all, count, w);
    std::copy_n(fetched.data(), fetched.size(), kept.values().data());
    DistMatrix<T> taken(A.grid(), count, w, A.nb());
    copy(kept, taken);
    const Index begin = result.grid().active() ? result.col_map().lower_bound({column}).value : 0;
    for (Index j = 0; j < taken.local_cols(); ++j)
      std::copy_n(taken.local().column(j), taken.local_rows(), result.local().column(begin + j));
  }
  return result;
}

Matrix<double> to_columns(const RowBlock<double>& A) {
  Matrix<double> B(A.local_rows(), A.cols());
  for (Index i = 0; i < B.rows(); ++i)
    for (Index j = 0; j < B.cols(); ++j) B(i, j) = A.row(i)[static_cast<std::size_t>(j)];
  return B;
}

RowBlock<double> to_row_block(const comm::Communicator& comm, Index n, MatrixView<const double> A) {
  RowBlock<double> B(comm, n, A.cols);
  for (Index i = 0; i < B.local_rows(); ++i)
    for (Index j = 0; j < B.cols(); ++j) B.row(i)[static_cast<std::size_t>(j)] = A(i, j);
  return B;
}

template <class T>
Matrix<T> columns_by_rows(const DistMatrix<double>& A, std::span<const Index> wanted) {
  const comm::Communicator& comm = A.grid().all();
  const RowPartition rows{A.rows(), comm.size()};
  auto result = comm::together(
      comm, [&] { return Matrix<T>(static_cast<Index>(wanted.size()), rows.size(comm.rank())); });
  std::size_t next = 0;
  for_panels(
      A,
      [&](Index first, Index columns) {
        return next < wanted.size() && wanted[next] < first + columns;
      },
      [&](Index first, const RowBlock<double>& panel) {
        const std::size_t begin = next;
        while (next < wanted.size() && wanted[next] < first + panel.cols()) ++next;
        for (Index j = 0; j < panel.local_rows(); ++j)
          for (std::size_t i = begin; i < next; ++i)
            result(static_cast<Index>(i), j) =
                static_cast<T>(panel.row(j)[static_cast<std::size_t>(wanted[i] - first)]);
      });
  return result;
}

template <class T>
Matrix<double> to_columns(const DistMatrix<T>& A) {
  const comm::Communicator& comm = A.grid().all();
  const RowPartition rows{A.rows(), comm.size()};
  auto result =
      comm::together(comm, [&] { return Matrix<double>(rows.size(comm.rank()), A.cols()); });
  for_panels(
      A, [](Index, Index) { return true; },
      [&](Index first, const RowBlock<T>& panel) {
        for (Index i = 0; i < panel.local_rows(); ++i)
          for (Index j = 0; j < panel.cols(); ++j)
            result(i, first + j) = static_cast<double>(panel.row(i)[static_cast<std::size_t>(j)]);
      });
  return result;
}

#define MERCER_INSTANTIATE(T)                                               \
  template RowBlock<T> concatenate(const RowBlock<T>&, const RowBlock<T>&); \
  template DistMatrix<T> take_rows(const DistMatrix<T>&, Index, Index);     \
  template Matrix<double> to_columns(const DistMatrix<T>&);                 \
  template Matrix<T> columns_by_rows<T>(const DistMatrix<double>&, std::span<const Index>);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::dist
