#include "mercer/krr/predict.hpp"

#include <algorithm>
#include <numeric>

#include "layout.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/msk/column_panel.hpp"

namespace mercer::krr {
namespace {

/// `count` global rows from `first` on, of which this rank holds its part of a RowBlock: their
/// indices.
std::vector<Index> part_of(const comm::Communicator& comm, Index count, Index first) {
  const dist::RowPartition partition{count, comm.size()};
  std::vector<Index> rows(static_cast<std::size_t>(partition.size(comm.rank())));
  std::iota(rows.begin(), rows.end(), first + partition.begin(comm.rank()));
  return rows;
}

template <class T>
msk::CutPairs<spectral::Eigenpairs<T>> all_points(
    const kernel::Kernel& kernel, const RowBlock<double>& X, const RowBlock<double>& Z,
    const dist::ProcessGrid& grid, const msk::SpectrumMap& g,
    const typename Transductive<T>::Options& options) {
  const auto points = concatenate(X, Z);
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
    throw InputError("{} training and {} test points have no eigenvectors of {} entries", X.rows(),
                     Z.rows(), pairs.n());
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
  la::gemm(la::Trans::no, la::Trans::no, static_cast<T>(1.0 / static_cast<double>(C.cols())), C, A,
           T{0}, F);
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
    throw InputError("{} columns above {} columns", above.cols(), below.cols());
  RowBlock<T> result(above.comm(), above.rows() + below.rows(), above.cols());
  std::vector<Index> from_above = part_of(above.comm(), result.rows(), 0), from_below;
  const auto split = std::lower_bound(from_above.begin(), from_above.end(), above.rows());
  for (auto row = split; row != from_above.end(); ++row) from_below.push_back(*row - above.rows());
  from_above.erase(split, from_above.end());

  const Matrix<T> upper = dist::fetch_rows(above, std::span<const Index>(from_above));
  const Matrix<T> lower = dist::fetch_rows(below, std::span<const Index>(from_below));
  std::copy_n(upper.data(), upper.size(), result.values().data());
  std::copy_n(lower.data(), lower.size(), result.values().data() + upper.size());
  return result;
}

template <class T>
DistMatrix<T> take_rows(const DistMatrix<T>& A, Index first, Index count) {
  const comm::Communicator& all = A.grid().all();
  const std::vector<Index> wanted = part_of(all, count, first);
  DistMatrix<T> result(A.grid(), count, A.cols(), A.nb());
  const Index width = msk::panel_width(A, 256);
  for (Index column = 0; column < A.cols(); column += width) {
    const Index w = std::min(width, A.cols() - column);
    DistMatrix<T> panel(A.grid(), A.rows(), w, A.nb());
    const auto source = msk::local_panel(A, column, w);
    for (Index j = 0; j < source.cols; ++j)
      std::copy_n(source.column(j), source.rows, panel.local().column(j));
    RowBlock<T> rows(all, A.rows(), w);
    dist::copy(panel, rows);

    const Matrix<T> fetched = dist::fetch_rows(rows, std::span<const Index>(wanted));
    RowBlock<T> kept(all, count, w);
    std::copy_n(fetched.data(), fetched.size(), kept.values().data());
    DistMatrix<T> taken(A.grid(), count, w, A.nb());
    dist::copy(kept, taken);
    const Index begin = result.grid().active() ? result.col_map().lower_bound({column}).value : 0;
    for (Index j = 0; j < taken.local_cols(); ++j)
      std::copy_n(taken.local().column(j), taken.local_rows(), result.local().column(begin + j));
  }
  return result;
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
      train_(take_rows(pairs.vectors, 0, X.rows())),
      test_(take_rows(pairs.vectors, X.rows(), Z.rows())) {
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
  la::gemm(la::Trans::yes, la::Trans::no, T{1}, train_, B, T{0}, VtB);
  la::gemm(la::Trans::no, la::Trans::no, T{1}, test_, VtB, T{0}, F);
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
  template RowBlock<T> concatenate<T>(const RowBlock<T>&, const RowBlock<T>&);         \
  template DistMatrix<T> take_rows<T>(const DistMatrix<T>&, Index, Index);             \
  template class Transductive<T>;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)

}  // namespace mercer::krr
