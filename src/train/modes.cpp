#include "modes.hpp"

#include <algorithm>

#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/blas.hpp"
#include "mercer/msk/column_panel.hpp"

namespace mercer::train {

using la::Trans;

namespace {

constexpr Index kPanelBytes = Index{16} << 20;  // of a rank, once block-cyclic and once by rows
constexpr Index kSumRows = 256;                 // rows whose products are summed in float

}  // namespace

template <class T>
Matrix<T> columns_by_rows(const dist::DistMatrix<double>& A, std::span<const Index> wanted) {
  const comm::Communicator& comm = A.grid().all();
  const dist::RowPartition rows{A.rows(), comm.size()};
  auto result = comm::together(
      comm, [&] { return Matrix<T>(static_cast<Index>(wanted.size()), rows.size(comm.rank())); });
  const Index column_bytes = std::max<Index>(1, rows.size(0)) * static_cast<Index>(sizeof(double));
  const Index cycle = msk::panel_width(A, 1);
  const Index width = std::max(cycle, kPanelBytes / column_bytes / cycle * cycle);
  std::size_t next = 0;
  for (Index first = 0; first < A.cols() && next < wanted.size(); first += width) {
    const Index columns = std::min(width, A.cols() - first);
    if (wanted[next] >= first + columns) continue;
    dist::DistMatrix<double> panel(A.grid(), A.rows(), columns, A.nb());
    const auto source = msk::local_panel(A, first, columns);
    for (Index j = 0; j < source.cols; ++j)
      std::copy_n(source.column(j), source.rows, panel.local().column(j));
    dist::RowBlock<double> by_rows(comm, A.rows(), columns);
    dist::copy(panel, by_rows);
    const std::size_t begin = next;
    while (next < wanted.size() && wanted[next] < first + columns) ++next;
    for (Index j = 0; j < by_rows.local_rows(); ++j) {
      const auto row = by_rows.row(j);
      for (std::size_t i = begin; i < next; ++i)
        result(static_cast<Index>(i), j) =
            static_cast<T>(row[static_cast<std::size_t>(wanted[i] - first)]);
    }
  }
  return result;
}

template <>
void project_rows(MatrixView<const double> R, MatrixView<const double> V, double*,
                  MatrixView<double> P) {
  la::gemm(Trans::no, Trans::yes, 1.0, R, V, 0.0, P);
}

template <>
void project_rows(MatrixView<const float> R, MatrixView<const float> V, float* scratch,
                  MatrixView<double> P) {
  for (Index i = 0; i < P.cols; ++i) std::fill_n(P.column(i), P.rows, 0.0);
  const MatrixView<float> part{scratch, P.rows, P.cols, std::max<Index>(1, P.rows)};
  for (Index first = 0; first < R.cols; first += kSumRows) {
    const Index count = std::min(kSumRows, R.cols - first);
    la::gemm(Trans::no, Trans::yes, 1.0f, R.block(0, first, R.rows, count),
             V.block(0, first, V.rows, count), 0.0f, part);
    for (Index i = 0; i < P.cols; ++i)
      for (Index a = 0; a < P.rows; ++a) P(a, i) += static_cast<double>(part(a, i));
  }
}

template Matrix<double> columns_by_rows<double>(const dist::DistMatrix<double>&,
                                                std::span<const Index>);
template Matrix<float> columns_by_rows<float>(const dist::DistMatrix<double>&,
                                              std::span<const Index>);

}  // namespace mercer::train
