#include "mercer/msk/modified_kernel.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/error.hpp"
#include "mercer/dist/column_panel.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::msk {

using dist::DistMatrix;

namespace {

constexpr Index kPanelColumns = 512;  // wide enough for p?syrk to run at dgemm's rate

void check_size(Index k, const ModifiedSpectrum& spectrum) {
  if (static_cast<Index>(spectrum.g.size()) != k)
    throw InputError("the spectrum map was applied to {} eigenvalues, but there are {} eigenpairs",
                     spectrum.g.size(), k);
}

bool all_zero(std::span<const double> c) {
  return std::all_of(c.begin(), c.end(), [](double x) { return x == 0; });
}

/// Columns of V from `first` on, as many as there are c, each times sqrt(max(sign c_j, 0)).
template <class T>
DistMatrix<T> weighted_panel(const DistMatrix<T>& V, Index first, std::span<const double> c,
                             double sign) {
  DistMatrix<T> panel(V.grid(), V.rows(), static_cast<Index>(c.size()), V.nb());
  const auto source = dist::local_panel(V, first, panel.cols());
  for (Index j = 0; j < panel.local_cols(); ++j) {
    const auto weight = static_cast<T>(std::sqrt(
        std::max(sign * c[static_cast<std::size_t>(panel.col_map().global({j}).value)], 0.0)));
    for (Index i = 0; i < panel.local_rows(); ++i) panel.local()(i, j) = weight * source(i, j);
  }
  return panel;
}

template <class T>
void scale_rows(DistMatrix<T>& A, const std::vector<double>& scale) {
  for (Index i = 0; i < A.local_rows(); ++i) {
    const auto s = static_cast<T>(scale[static_cast<std::size_t>(A.row_map().global({i}).value)]);
    for (Index j = 0; j < A.local_cols(); ++j) A.local()(i, j) *= s;
  }
}

}  // namespace

template <class T>
GridPreconditioner<T>::GridPreconditioner(const spectral::Eigenpairs<T>& pairs,
                                          const ModifiedSpectrum& spectrum)
    : pairs_(pairs), ratio_(spectrum.ratio()) {
  check_size(pairs.k(), spectrum);
}

template <class T>
void GridPreconditioner<T>::apply(DistMatrix<T>& R) const {
  std::vector<double> c(ratio_);
  for (double& x : c) x -= 1;
  add(R, c);
}

template <class T>
void GridPreconditioner<T>::apply_inverse(DistMatrix<T>& R) const {
  std::vector<double> c(ratio_);
  for (std::size_t i = 0; i < c.size(); ++i) {
    if (!(c[i] > 0))
      throw RunError("S has no inverse: g is {} at lambda_{}", c[i] * pairs_.values[i], i + 1);
    c[i] = 1 / c[i] - 1;
  }
  add(R, c);
}

template <class T>
void GridPreconditioner<T>::apply_right(DistMatrix<T>& R) const {
  std::vector<double> c(ratio_);
  for (double& x : c) x -= 1;
  if (all_zero(c) || R.rows() == 0 || R.cols() == 0) return;
  DistMatrix<T> W(R.grid(), R.rows(), pairs_.k(), R.nb());
  la::gemm(blas::Trans::no, blas::Trans::no, T{1}, R, pairs_.vectors, T{0}, W);
  la::scale_columns<T>(W, c);
  la::gemm(blas::Trans::no, blas::Trans::yes, T{1}, W, pairs_.vectors, T{1}, R);
}

template <class T>
void GridPreconditioner<T>::add(DistMatrix<T>& R, const std::vector<double>& c) const {
  if (all_zero(c) || R.rows() == 0 || R.cols() == 0) return;
  DistMatrix<T> W(R.grid(), pairs_.k(), R.cols(), R.nb());
  la::gemm(blas::Trans::yes, blas::Trans::no, T{1}, pairs_.vectors, R, T{0}, W);
  scale_rows(W, c);
  la::gemm(blas::Trans::no, blas::Trans::no, T{1}, pairs_.vectors, W, T{1}, R);
}

template <class T>
DistMatrix<T> GridPreconditioner<T>::dense() const {
  DistMatrix<T> S(pairs_.vectors.grid(), pairs_.n(), pairs_.n(), pairs_.vectors.nb());
  S.fill([](Index i, Index j) { return i == j ? 1 : 0; });
  std::vector<double> c(ratio_);
  for (double& x : c) x -= 1;
  add_modes<T>(S, pairs_.vectors, c);
  return S;
}

template <class T>
void add_modes(DistMatrix<T>& A, const DistMatrix<T>& V, std::span<const double> c) {
  if (all_zero(c) || A.rows() == 0) return;
  const Index width = dist::panel_width(V, kPanelColumns);
  for (Index first = 0; first < V.cols(); first += width) {
    const auto part = c.subspan(static_cast<std::size_t>(first),
                                static_cast<std::size_t>(std::min(width, V.cols() - first)));
    for (const double sign : {1.0, -1.0}) {
      if (std::none_of(part.begin(), part.end(), [sign](double x) { return sign * x > 0; }))
        continue;
      la::syrk_lower(static_cast<T>(sign), weighted_panel(V, first, part, sign), T{1}, A);
    }
  }
  dist::mirror_lower(A);
}

template <class T>
void modify(DistMatrix<T>& K, const spectral::Eigenpairs<T>& pairs,
            const ModifiedSpectrum& spectrum) {
  check_size(pairs.k(), spectrum);
  std::vector<double> c(spectrum.g);
  for (std::size_t i = 0; i < c.size(); ++i) c[i] -= spectrum.lambda[i];
  add_modes<T>(K, pairs.vectors, c);
}

#define MERCER_INSTANTIATE(T)                                                                \
  template class GridPreconditioner<T>;                                                      \
  template void add_modes<T>(DistMatrix<T>&, const DistMatrix<T>&, std::span<const double>); \
  template void modify<T>(DistMatrix<T>&, const spectral::Eigenpairs<T>&, const ModifiedSpectrum&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)

}  // namespace mercer::msk
