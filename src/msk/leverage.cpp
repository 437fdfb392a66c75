#include "mercer/msk/leverage.hpp"

#include <algorithm>
#include <cmath>

#include "leverage_parts.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::msk {

double free_share(double lambda, double gamma) {
  return std::max(lambda, 0.0) / (std::max(lambda, 0.0) + gamma);
}

void require_ridges(std::span<const double> ridges) {
  if (ridges.empty()) throw InputError("`leverage`: give at least one ridge");
  for (const double gamma : ridges)
    if (!(gamma > 0 && std::isfinite(gamma)))
      throw InputError("`leverage` {}: give ridges gamma > 0, on the scale of K = k/n", gamma);
}

namespace {

constexpr Index kPanelRows = 256;

/// (V o V) W of this rank's rows and columns of V.
template <class T>
Matrix<double> local_part(const dist::DistMatrix<T>& V, const Matrix<double>& W) {
  Matrix<double> part(V.local_rows(), W.cols(), 0.0);
  Matrix<double> squares(std::min(kPanelRows, V.local_rows()), V.local_cols());
  for (Index first = 0; first < V.local_rows(); first += kPanelRows) {
    const Index rows = std::min(kPanelRows, V.local_rows() - first);
    for (Index j = 0; j < V.local_cols(); ++j) {
      const T* v = V.local().column(j) + first;
      double* square = squares.column(j);
      for (Index i = 0; i < rows; ++i) square[i] = static_cast<double>(v[i]) * v[i];
    }
    blas::gemm<double>(blas::Trans::no, blas::Trans::no, 1.0,
                       squares.view().block(0, 0, rows, V.local_cols()), W.view(), 0.0,
                       part.view().block(first, 0, rows, W.cols()));
  }
  return part;
}

}  // namespace

template <class T>
LeverageScores leverage_scores(const spectral::Eigenpairs<T>& pairs,
                               std::span<const double> ridges) {
  require_ridges(ridges);
  const auto& V = pairs.vectors;
  const auto& grid = V.grid();
  const Index n = V.rows(), count = std::ssize(ridges);
  if (pairs.k() != n || V.cols() != n)
    throw InputError("leverage scores: {} eigenpairs with {} vectors; exact ones take all {}",
                     pairs.k(), V.cols(), n);
  LeverageScores result{.ridges = {ridges.begin(), ridges.end()},
                        .scores = RowBlock<double>(grid.all(), n, count)};
  for (const double gamma : ridges) {
    spectral::Estimate dimension;
    for (const double lambda : pairs.values) dimension.value += free_share(lambda, gamma);
    result.dimension.push_back(dimension);
  }
  dist::DistMatrix<double> scores(grid, n, count, V.nb());
  auto part = comm::together(grid.all(), [&] {
    Matrix<double> W(V.local_cols(), count);
    for (Index r = 0; r < count; ++r)
      for (Index j = 0; j < V.local_cols(); ++j)
        W(j, r) = free_share(pairs.values[static_cast<std::size_t>(V.col_map().global({j}).value)],
                             ridges[static_cast<std::size_t>(r)]);
    return local_part(V, W);
  });
  if (grid.active()) {
    grid.row_comm().all_reduce(
        std::span<double>(part.data(), static_cast<std::size_t>(part.size())), comm::Op::sum);
    for (Index r = 0; r < scores.local_cols(); ++r)
      std::copy_n(part.column(scores.col_map().global({r}).value), part.rows(),
                  scores.local().column(r));
  }
  dist::copy(scores, result.scores);
  return result;
}

template LeverageScores leverage_scores<double>(const spectral::Eigenpairs<double>&,
                                                std::span<const double>);
template LeverageScores leverage_scores<float>(const spectral::Eigenpairs<float>&,
                                               std::span<const double>);

}  // namespace mercer::msk
