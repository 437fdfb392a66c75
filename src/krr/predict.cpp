#include "mercer/krr/predict.hpp"

#include <algorithm>
#include <numeric>

#include "layout.hpp"
#include "mercer/dist/column_panel.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/la/scalapack.hpp"

namespace mercer::krr {
namespace {

template <class T>
msk::CutPairs<spectral::Eigenpairs<T>> all_points(
    const kernel::Kernel& kernel, const RowBlock<double>& X, const RowBlock<double>& Z,
    const dist::ProcessGrid& grid, const msk::SpectrumMap& g,
    const typename Transductive<T>::Options& options) {
  const auto points = dist::concatenate(X, Z);
  const Index N = points.rows(), top = options.spectral.top < 0 ? N : options.spectral.top;
  auto cut = msk::cut_options<T>(top, N, msk::SpectrumMap::Positivity::nonnegative);
  cut.mode_tolerance = options.tolerance;
  const bool krylov = options.spectral.method == spectral::Method::krylov;
  const msk::SolveOptions how{.tolerance = krylov ? options.spectral.krylov_tolerance : 0};
  using Pairs = spectral::Eigenpairs<T>;
  return msk::solve_and_cut<Pairs>(g, cut, how, [&](Index k, double tolerance, const Pairs*) {
    auto solve = options.spectral;
    solve.top = k;
    if (krylov) solve.krylov_tolerance = tolerance;
    return spectral::eigenpairs(gram::assemble<T>(kernel, points, grid, options.gram), solve);
  });
}

template <class T>
const msk::ModifiedSpectrum& checked(const msk::ModifiedSpectrum& spectrum,
                                     const spectral::Eigenpairs<T>& pairs,
                                     const RowBlock<double>& X, const RowBlock<double>& Z) {
  if (pairs.n() != X.rows() + Z.rows() || spectrum.g.size() != pairs.values.size())
    throw InputError(
        "{} training and {} test points do not fit eigenvectors of {} entries, or the spectrum map "
        "was applied to other eigenpairs",
        X.rows(), Z.rows(), pairs.n());
  return spectrum;
}

}  // namespace

template <class T>
RowBlock<double> predict(const DistMatrix<T>& C, const RowBlock<double>& alpha) {
  if (C.cols() != alpha.rows())
    throw InputError("the cross kernel has {} columns, but there are {} coefficients", C.cols(),
                     alpha.rows());
  const DistMatrix<T> A = to_grid<T>(alpha, C.grid(), C.nb());
  DistMatrix<T> F(C.grid(), C.rows(), A.cols(), C.nb());
  la::gemm(blas::Trans::no, blas::Trans::no, static_cast<T>(1.0 / static_cast<double>(C.cols())), C,
           A, T{0}, F);
  return to_rows(F, alpha.comm());
}

RowBlock<double> side_by_side(std::span<const Fit> fits) {
  const auto& first = fits.front().alpha;
  const Index c = first.cols();
  RowBlock<double> all(first.comm(), first.rows(), c * std::ssize(fits));
  for (Index i = 0; i < all.local_rows(); ++i) {
    double* out = all.row(i).data();
    for (const Fit& fit : fits) out = std::ranges::copy(fit.alpha.row(i), out).out;
  }
  return all;
}

template <class T>
Transductive<T>::Transductive(const kernel::Kernel& kernel, const RowBlock<double>& X,
                              const RowBlock<double>& Z, const dist::ProcessGrid& grid,
                              const msk::SpectrumMap& g, const Options& options)
    : Transductive([&] {
        auto [pairs, cut] = all_points<T>(kernel, X, Z, grid, g, options);
        Transductive result(kernel, X, Z, pairs, cut.spectrum, options.gram);
        cut.spectrum = {};
        result.cut_ = std::move(cut);
        return result;
      }()) {}

template <class T>
Transductive<T>::Transductive(const kernel::Kernel& kernel, const RowBlock<double>& X,
                              const RowBlock<double>& Z, const spectral::Eigenpairs<T>& pairs,
                              const msk::ModifiedSpectrum& spectrum, const gram::Options& options)
    : kernel_(kernel),
      X_(X),
      Z_(Z),
      options_(options),
      spectrum_(checked(spectrum, pairs, X, Z)),
      whole_(pairs.k() == pairs.n()),
      modes_(spectrum.g),
      train_(dist::take_rows(pairs.vectors, 0, X.rows())),
      test_(dist::take_rows(pairs.vectors, X.rows(), Z.rows())) {
  const double scale = static_cast<double>(pairs.n()) / static_cast<double>(X.rows());
  for (std::size_t i = 0; i < modes_.size(); ++i)
    modes_[i] = scale * (whole_ ? spectrum.g[i] : spectrum.g[i] - spectrum.lambda[i]);
  la::scale_columns(test_, std::span<const double>(modes_));
  options_.nb = pairs.vectors.nb();
  options_.over_n = true;
}

template <class T>
typename Transductive<T>::Predictions Transductive<T>::predict(const RowBlock<double>& Y,
                                                               double ridge) const {
  const dist::ProcessGrid& grid = train_.grid();
  DistMatrix<T> K(grid, 0, 0, train_.nb());
  if (whole_) {
    K = DistMatrix<T>(grid, X_.rows(), X_.rows(), train_.nb());
    K.fill([](Index, Index) { return 0; });
  } else {
    K = gram::assemble<T>(kernel_, X_, grid, options_);
  }
  msk::add_modes<T>(K, train_, modes_);
  const Fit fit = fit_cholesky(std::move(K), Y, ridge);

  const DistMatrix<T> B = to_grid<T>(fit.alpha, grid, train_.nb());
  DistMatrix<T> VtB(grid, train_.cols(), B.cols(), train_.nb());
  DistMatrix<T> F(grid, test_.rows(), B.cols(), train_.nb());
  la::gemm(blas::Trans::yes, blas::Trans::no, T{1}, train_, B, T{0}, VtB);
  la::gemm(blas::Trans::no, blas::Trans::no, T{1}, test_, VtB, T{0}, F);
  Predictions result{to_rows(F, Y.comm()), ridge, fit.residual};
  if (!whole_) {
    const RowBlock<double> plain = gram::apply_cross(kernel_, Z_, X_, fit.alpha, options_);
    std::transform(plain.values().begin(), plain.values().end(), result.values.values().begin(),
                   result.values.values().begin(), std::plus<>());
  }
  return result;
}

#define MERCER_INSTANTIATE(T)                                                          \
  template RowBlock<double> predict<T>(const DistMatrix<T>&, const RowBlock<double>&); \
  template class Transductive<T>;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)

}  // namespace mercer::krr
