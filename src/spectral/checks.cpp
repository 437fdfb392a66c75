#include "checks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::spectral {
namespace {

using dist::DistMatrix;

constexpr Index kProbes = 16;
constexpr Index kPanel = 512;

template <class T>
DistMatrix<T> allocate(const DistMatrix<T>& like, Index rows, Index cols) {
  return comm::together(like.grid().all(),
                        [&] { return DistMatrix<T>(like.grid(), rows, cols, like.nb()); });
}

}  // namespace

double largest(std::span<const double> values) {
  double result = 0;
  for (const double v : values)
    if (!(v <= result)) result = v;  // a NaN enters, and what follows it
  for (const double v : values)
    if (std::isnan(v)) return v;
  return result;
}

template <class T>
Evidence<T> take_evidence(const DistMatrix<T>& K, std::uint64_t seed) {
  auto W = allocate(K, K.rows(), kProbes), KW = allocate(K, K.rows(), kProbes);
  const Random random(seed, Stream::probe);
  W.fill(
      [&](Index i, Index j) { return random.normal(static_cast<std::uint64_t>(i * kProbes + j)); });
  la::gemm(la::Trans::no, la::Trans::no, T(1), K, W, T(0), KW);
  return {std::move(W), std::move(KW), la::trace(K), la::frobenius_norm(K)};
}

template <class T>
std::vector<double> estimated_residuals(const Evidence<T>& evidence, const DistMatrix<T>& V,
                                        std::span<const double> values, double scale) {
  auto WV = allocate(V, kProbes, V.cols()), R = allocate(V, kProbes, V.cols());
  la::gemm(la::Trans::yes, la::Trans::no, T(1), evidence.images, V, T(0), R);
  la::gemm(la::Trans::yes, la::Trans::no, T(1), evidence.probes, V, T(0), WV);
  la::scale_columns(WV, values);
  for (Index j = 0; j < R.local_cols(); ++j)
    for (Index i = 0; i < R.local_rows(); ++i) R.local()(i, j) -= WV.local()(i, j);
  auto residuals = la::column_dots(R, R);
  for (double& r : residuals) r = std::sqrt(r / kProbes) / scale;
  return residuals;
}

template <class T>
double measured_orthogonality(const DistMatrix<T>& V) {
  const Index k = V.cols(), width = ceil_div(kPanel, V.nb()) * V.nb();
  double worst = 0, nans = 0;
  for (Index first = 0; first < k; first += width) {
    const Index count = std::min(width, k - first);
    auto G = allocate(V, count, k - first);
    la::gram_panel(V, first, G);
    for (Index j = 0; j < G.local_cols(); ++j) {
      const Index diagonal = G.col_map().global({j}).value;
      for (Index i = 0; i < G.local_rows(); ++i) {
        const double identity = G.row_map().global({i}).value == diagonal ? 1 : 0;
        const double error = std::abs(static_cast<double>(G.local()(i, j)) - identity);
        if (error > worst)
          worst = error;
        else if (std::isnan(error))
          nans = 1;
      }
    }
  }
  const auto& all = V.grid().all();
  if (all.all_reduce(nans, comm::Op::max) > 0) return std::numeric_limits<double>::quiet_NaN();
  return all.all_reduce(worst, comm::Op::max);
}

template <class T>
void measure_residuals(const DistMatrix<T>& K, Eigenpairs<T>& pairs) {
  const DistMatrix<T>& V = pairs.vectors;
  if (K.rows() != V.rows() || K.cols() != V.rows())
    throw InputError("measure_residuals: K is {} x {}, the eigenvectors have {} rows", K.rows(),
                     K.cols(), V.rows());
  if (V.cols() == 0) return;
  auto R = allocate(V, V.rows(), V.cols());
  la::gemm(la::Trans::no, la::Trans::no, T(1), K, V, T(0), R);
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
