#include "checks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/probes.hpp"

namespace mercer::spectral {
namespace {

using dist::DistMatrix;
constexpr Index kPanel = 512;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
DistMatrix<T> allocate(const DistMatrix<T>& like, Index rows, Index cols) {
  return comm::together(like.grid().all(),
                        [&] { return DistMatrix<T>(like.grid(), rows, cols, like.nb()); });
}

}  // namespace

double largest(std::span<const double> values) {
  double result = 0;
  for (const double v : values)
    if (!(v <= result)) result = std::isnan(v) ? kInfinity : v;
  return result;
}

template <class T>
Evidence<T> take_evidence(const DistMatrix<T>& K, std::uint64_t seed) {
  auto W = allocate(K, K.rows(), kResidualProbes), KW = allocate(K, K.rows(), kResidualProbes);
  const Random random(seed, Stream::probe);
  W.fill([&](Index i, Index j) {
    return random.normal(static_cast<std::uint64_t>(i * kResidualProbes + j));
  });
  la::gemm(blas::Trans::no, blas::Trans::no, T(1), K, W, T(0), KW);
  return {std::move(W), std::move(KW), la::trace(K), la::frobenius_norm(K)};
}

template <class T>
std::vector<double> estimated_residuals(const Evidence<T>& evidence, const DistMatrix<T>& V,
                                        std::span<const double> values, double scale) {
  auto WV = allocate(V, kResidualProbes, V.cols()), R = allocate(V, kResidualProbes, V.cols());
  la::gemm(blas::Trans::yes, blas::Trans::no, T(1), evidence.images, V, T(0), R);
  la::gemm(blas::Trans::yes, blas::Trans::no, T(1), evidence.probes, V, T(0), WV);
  la::scale_columns(WV, values);
  for (Index j = 0; j < R.local_cols(); ++j)
    for (Index i = 0; i < R.local_rows(); ++i) R.local()(i, j) -= WV.local()(i, j);
  auto residuals = la::column_dots(R, R);
  for (double& r : residuals) r = std::sqrt(r / kResidualProbes) / scale;
  return residuals;
}

namespace {

/// This rank's rows of the columns first ... first + width - 1 of V, gathered on every rank of the
/// process row, and the global indices of these columns, process column by process column.
/// Collective over the active ranks of the grid.
template <class T>
std::pair<std::vector<T>, std::vector<Index>> gathered_panel(const DistMatrix<T>& V, Index first,
                                                             Index width) {
  const auto& map = V.col_map();
  const Index begin = map.lower_bound({first}).value, end = map.lower_bound({first + width}).value;
  const std::span<const T> mine(V.data() + begin * V.local_rows(),
                                static_cast<std::size_t>((end - begin) * V.local_rows()));
  std::vector<Index> columns;
  for (int q = 0; q < map.nprocs; ++q) {
    const dist::BlockCyclic1D other{map.n, map.nb, q, map.nprocs};
    for (Index l = other.lower_bound({first}).value,
               last = other.lower_bound({first + width}).value;
         l < last; ++l)
      columns.push_back(other.global({l}).value);
  }
  return {V.grid().row_comm().all_gather(mine), std::move(columns)};
}

/// max |V^T V - I| over the rows first ... first + width - 1 of V^T V and its columns from `first`
/// on that this process column holds; NaN counts as infinite. Collective over the active ranks of
/// the grid.
template <class T>
double panel_error(const DistMatrix<T>& V, Index first, Index width) {
  const auto [panel, rows] = gathered_panel(V, first, width);
  const Index n = V.local_rows(), begin = V.col_map().lower_bound({first}).value;
  const auto w = static_cast<Index>(rows.size()), cols = V.local_cols() - begin;
  Matrix<T> G(w, cols, T(0));
  if (n > 0)
    blas::gemm<T>(blas::Trans::yes, blas::Trans::no, T(1), {panel.data(), n, w, n},
                  V.local().block(0, begin, n, cols), T(0), G.view());
  V.grid().col_comm().all_reduce(std::span<T>(G.data(), static_cast<std::size_t>(G.size())),
                                 comm::Op::sum);
  double worst = 0;
  for (Index j = 0; j < cols; ++j) {
    const Index diagonal = V.col_map().global({begin + j}).value;
    for (Index i = 0; i < w; ++i) {
      const double identity = rows[static_cast<std::size_t>(i)] == diagonal ? 1 : 0;
      const double error = std::abs(static_cast<double>(G(i, j)) - identity);
      if (!(error <= worst)) worst = std::isnan(error) ? kInfinity : error;
    }
  }
  return worst;
}

}  // namespace

template <class T>
double measured_orthogonality(const DistMatrix<T>& V) {
  // PBLAS multiplies by a transposed matrix at a third of the local GEMM's rate: gathering panels
  // of columns along the process rows is faster.
  double worst = 0;
  if (V.grid().active())
    for (Index first = 0; first < V.cols(); first += kPanel)
      worst = std::max(worst, panel_error(V, first, std::min(kPanel, V.cols() - first)));
  return V.grid().all().all_reduce(worst, comm::Op::max);
}

template <class T>
void measure_residuals(const DistMatrix<T>& K, Eigenpairs<T>& pairs) {
  const DistMatrix<T>& V = pairs.vectors;
  if (K.rows() != V.rows() || K.cols() != V.rows())
    throw InputError("measure_residuals: K is {} x {}, the eigenvectors have {} rows", K.rows(),
                     K.cols(), V.rows());
  if (V.cols() == 0) return;
  auto R = allocate(V, V.rows(), V.cols());
  la::gemm(blas::Trans::no, blas::Trans::no, T(1), K, V, T(0), R);
  for (Index j = 0; j < R.local_cols(); ++j) {
    const auto lambda =
        static_cast<T>(pairs.values[static_cast<std::size_t>(R.col_map().global({j}).value)]);
    for (Index i = 0; i < R.local_rows(); ++i) R.local()(i, j) -= lambda * V.local()(i, j);
  }
  pairs.residuals = la::column_dots(R, R);
  const double scale = pairs.values[0] > 0 ? pairs.values[0] : 1;
  for (double& r : pairs.residuals) r = std::sqrt(r) / scale;
  pairs.residuals_exact = true;
}

#define MERCER_INSTANTIATE(T)                                                                \
  template Evidence<T> take_evidence(const DistMatrix<T>&, std::uint64_t);                   \
  template std::vector<double> estimated_residuals(const Evidence<T>&, const DistMatrix<T>&, \
                                                   std::span<const double>, double);         \
  template double measured_orthogonality(const DistMatrix<T>&);                              \
  template void measure_residuals(const DistMatrix<T>&, Eigenpairs<T>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::spectral
