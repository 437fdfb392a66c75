#include <algorithm>
#include <cmath>

#include "checks.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::spectral {

void measure_residuals(const gram::Operator& K, TopPairs& pairs) {
  constexpr Index kPanel = 128;
  const Index rows = K.local_rows(), k = pairs.k();
  const MatrixView<const double> V = pairs.vectors.view();
  comm::together(K.comm(), [&] {
    if (V.rows != rows || V.cols != k)
      throw InputError("measure_residuals: {} x {} eigenvectors on a rank of {} rows, {} values",
                       V.rows, V.cols, rows, k);
  });
  if (k == 0) return;
  auto R = comm::together(K.comm(), [&] { return Matrix<double>(rows, std::min(kPanel, k)); });
  std::vector<double> squares(static_cast<std::size_t>(k), 0.0);
  for (Index first = 0; first < k; first += kPanel) {
    const Index width = std::min(kPanel, k - first);
    K.apply(V.block(0, first, rows, width), R.view().block(0, 0, rows, width));
    for (Index j = 0; j < width; ++j) {
      const auto at = static_cast<std::size_t>(first + j);
      for (Index i = 0; i < rows; ++i) {
        const double r = R(i, j) - pairs.values[at] * V(i, first + j);
        squares[at] += r * r;
      }
    }
  }
  K.comm().all_reduce(std::span<double>(squares), comm::Op::sum);
  const double scale = pairs.values[0] > 0 ? pairs.values[0] : 1;
  pairs.residuals = std::move(squares);
  for (double& r : pairs.residuals) r = std::sqrt(r) / scale;
  pairs.residuals_exact = true;
}

template <class T>
Eigenpairs<T> on_grid(const TopPairs& pairs, Index n, const dist::ProcessGrid& grid, Index nb) {
  const comm::Communicator& comm = grid.all();
  const Index k = pairs.k();
  dist::RowBlock<T> rows = comm::together(comm, [&] {
    dist::RowBlock<T> block(comm, n, k);
    if (pairs.vectors.rows() != block.local_rows() || pairs.vectors.cols() != k)
      throw InputError("on_grid: {} x {} eigenvectors on a rank of {} of n = {} rows, {} values",
                       pairs.vectors.rows(), pairs.vectors.cols(), block.local_rows(), n, k);
    for (Index j = 0; j < k; ++j)
      for (Index i = 0; i < block.local_rows(); ++i)
        block.transposed()(j, i) = static_cast<T>(pairs.vectors(i, j));
    return block;
  });
  Eigenpairs<T> result{
      .vectors = comm::together(comm, [&] { return dist::DistMatrix<T>(grid, n, k, nb); })};
  dist::copy(rows, result.vectors);
  result.values = pairs.values;
  result.next = pairs.next;
  result.residuals = pairs.residuals;
  result.residuals_exact = pairs.residuals_exact;
  result.orthogonality = pairs.orthogonality;
  result.trace = pairs.trace;
  result.method = Method::krylov;
  result.seconds = result.solve_seconds = pairs.seconds;
  return result;
}

template <class T>
TopPairs by_rows(const Eigenpairs<T>& pairs) {
  TopPairs result{.n = pairs.n()};
  result.vectors = dist::to_columns(pairs.vectors);
  result.values = pairs.values;
  result.next = pairs.next;
  result.residuals = pairs.residuals;
  result.residuals_exact = pairs.residuals_exact;
  result.orthogonality = pairs.orthogonality;
  result.trace = pairs.trace;
  result.seconds = pairs.seconds;
  return result;
}

template Eigenpairs<double> on_grid(const TopPairs&, Index, const dist::ProcessGrid&, Index);
template Eigenpairs<float> on_grid(const TopPairs&, Index, const dist::ProcessGrid&, Index);
template TopPairs by_rows(const Eigenpairs<double>&);
template TopPairs by_rows(const Eigenpairs<float>&);

}  // namespace mercer::spectral
