#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "layout.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/krr/fit.hpp"

namespace mercer::krr {
namespace {

constexpr Index kPanelColumns = 256;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
std::span<T> values(Matrix<T>& A) {
  return {A.data(), static_cast<std::size_t>(A.size())};
}

/// Y at this rank's rows of V, in T: local rows x c. Collective.
template <class T>
Matrix<T> fetch(const RowBlock<double>& Y, const DistMatrix<T>& V) {
  std::vector<Index> wanted(static_cast<std::size_t>(V.local_rows()));
  for (Index i = 0; i < V.local_rows(); ++i)
    wanted[static_cast<std::size_t>(i)] = V.row_map().global({i}).value;
  const Matrix<double> fetched = dist::fetch_rows(Y, std::span<const Index>(wanted));
  Matrix<T> rows(V.local_rows(), Y.cols());
  for (Index i = 0; i < rows.rows(); ++i)
    for (Index o = 0; o < rows.cols(); ++o) rows(i, o) = static_cast<T>(fetched(o, i));
  return rows;
}

double score_or_infinity(double score) {
  return std::isfinite(score) ? score : kInfinity;
}

}  // namespace

template <class T>
SpectralPath<T>::SpectralPath(const spectral::Eigenpairs<T>& pairs,
                              const msk::ModifiedSpectrum& spectrum, const RowBlock<double>& Y)
    : pairs_(pairs),
      spectrum_(spectrum),
      ratio_(spectrum.ratio()),
      plain_(std::all_of(ratio_.begin(), ratio_.end(), [](double x) { return x == 1; })),
      Y_(Y) {
  const DistMatrix<T>& V = pairs.vectors;
  check_targets(V, Y);
  if (V.cols() != V.rows() || pairs.k() != V.rows())
    throw InputError("the ridge path needs all {} eigenpairs, there are {}", V.rows(), pairs.k());
  if (static_cast<Index>(spectrum.g.size()) != pairs.k())
    throw InputError("the spectrum map was applied to {} eigenvalues, but there are {} eigenpairs",
                     spectrum.g.size(), pairs.k());
  rows_ = fetch(Y, V);
  modes_ = transposed_times(rows_);

  energy_.assign(static_cast<std::size_t>(V.cols()), 0);
  if (V.grid().row() == 0)  // every process row holds the same modes_
    for (Index o = 0; o < modes_.cols(); ++o)
      for (Index j = 0; j < modes_.rows(); ++j)
        energy_[static_cast<std::size_t>(V.col_map().global({j}).value)] +=
            static_cast<double>(modes_(j, o)) * static_cast<double>(modes_(j, o));
  V.grid().all().all_reduce(std::span<double>(energy_), comm::Op::sum);
}

template <class T>
Matrix<T> SpectralPath<T>::times(const Matrix<T>& B) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_rows(), B.cols(), T{0});
  blas::gemm<T>(blas::Trans::no, blas::Trans::no, T{1}, V.local(), B.view(), T{0}, result.view());
  if (V.grid().active()) V.grid().row_comm().all_reduce(values(result), comm::Op::sum);
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::transposed_times(const Matrix<T>& B) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_cols(), B.cols(), T{0});
  blas::gemm<T>(blas::Trans::yes, blas::Trans::no, T{1}, V.local(), B.view(), T{0}, result.view());
  if (V.grid().active()) V.grid().col_comm().all_reduce(values(result), comm::Op::sum);
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::squares(const Matrix<T>& weights) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_rows(), weights.cols(), T{0});
  Matrix<T> squared(V.local_rows(), std::min(kPanelColumns, V.local_cols()));
  for (Index first = 0; first < V.local_cols(); first += kPanelColumns) {
    const Index width = std::min(kPanelColumns, V.local_cols() - first);
    for (Index j = 0; j < width; ++j)
      for (Index i = 0; i < V.local_rows(); ++i) {
        const T v = V.local()(i, first + j);
        squared(i, j) = v * v;
      }
    blas::gemm<T>(blas::Trans::no, blas::Trans::no, T{1},
                  squared.view().block(0, 0, squared.rows(), width),
                  weights.view().block(first, 0, width, weights.cols()), T{1}, result.view());
  }
  if (V.grid().active()) V.grid().row_comm().all_reduce(values(result), comm::Op::sum);
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::weights(
    Index ridges, const std::function<double(std::size_t, std::size_t)>& weight) const {
  const DistMatrix<T>& V = pairs_.vectors;
  Matrix<T> result(V.local_cols(), ridges);
  for (Index r = 0; r < ridges; ++r)
    for (Index j = 0; j < V.local_cols(); ++j)
      result(j, r) = static_cast<T>(weight(static_cast<std::size_t>(V.col_map().global({j}).value),
                                           static_cast<std::size_t>(r)));
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::combine(const Matrix<T>& weights) const {
  const Index c = modes_.cols();
  Matrix<T> weighted(modes_.rows(), c * weights.cols());
  for (Index r = 0; r < weights.cols(); ++r)
    for (Index o = 0; o < c; ++o)
      for (Index j = 0; j < modes_.rows(); ++j)
        weighted(j, r * c + o) = weights(j, r) * modes_(j, o);
  return times(weighted);
}

template <class T>
bool SpectralPath<T>::admissible(double ridge) const {
  const auto [least, largest] = std::minmax_element(spectrum_.g.begin(), spectrum_.g.end());
  const double resolution = 4.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * *largest;
  return ridge >= 0 && *least + ridge > resolution;
}

template <class T>
std::size_t SpectralPath<T>::panel() const {
  return static_cast<std::size_t>(std::max(Index{1}, kPanelColumns / modes_.cols()));
}

template <class T>
typename SpectralPath<T>::Systems SpectralPath<T>::systems(std::span<const double> ridges) const {
  const auto R = static_cast<Index>(ridges.size());
  const auto q =
      weights(R, [&](std::size_t i, std::size_t r) { return 1 / (spectrum_.g[i] + ridges[r]); });
  Systems result{combine(q), squares(q), {}, {}};
  if (plain_) return result;
  const auto p = weights(
      R, [&](std::size_t i, std::size_t r) { return ratio_[i] / (spectrum_.g[i] + ridges[r]); });
  result.alpha = combine(p);
  result.diagonal_P = squares(p);
  return result;
}

template <class T>
Matrix<T> SpectralPath<T>::left_out(const Systems& systems, double ridge, Index r) const {
  const Index c = modes_.cols();
  Matrix<T> errors(systems.B.rows(), c);
  for (Index o = 0; o < c; ++o)
    for (Index i = 0; i < errors.rows(); ++i) {
      const auto b = static_cast<double>(systems.B(i, r * c + o));
      const auto a = static_cast<double>(systems.diagonal(i, r));
      double error = b / a;
      if (!plain_) {
        const auto p = static_cast<double>(systems.diagonal_P(i, r));
        // P is positive semidefinite: P_ii = 0 implies alpha_i = 0, and row i changes nothing.
        const double ratio = p == 0 ? 0 : static_cast<double>(systems.alpha(i, r * c + o)) / p;
        error = ratio + ridge * (b - a * ratio);
      }
      errors(i, o) = static_cast<T>(error);
    }
  return errors;
}

template <class T>
std::vector<double> SpectralPath<T>::rmse_by_output(const Matrix<T>& errors) const {
  std::vector<double> sums(static_cast<std::size_t>(errors.cols()), 0.0);
  if (pairs_.vectors.grid().col() == 0)  // every process column holds the same rows
    for (Index o = 0; o < errors.cols(); ++o)
      for (Index i = 0; i < errors.rows(); ++i) {
        const auto error = static_cast<double>(errors(i, o));
        sums[static_cast<std::size_t>(o)] += error * error;
      }
  pairs_.vectors.grid().all().all_reduce(std::span<double>(sums), comm::Op::sum);
  for (double& sum : sums) sum = std::sqrt(sum / static_cast<double>(Y_.rows()));
  return sums;
}

/// n |B_o|^2/(tr A^-1)^2 of every output o, with B and A of one ridge; |Y - F| = gamma |B|.
template <class T>
std::vector<double> SpectralPath<T>::gcv_by_output(MatrixView<const T> B, double ridge) const {
  Matrix<T> copy(B.rows, B.cols);
  std::copy_n(B.data, B.rows * B.cols, copy.data());
  double trace = 0;
  for (const double g : spectrum_.g) trace += 1 / (g + ridge);
  std::vector<double> scores;
  for (const double rms : rmse_by_output(copy))
    scores.push_back(std::pow(static_cast<double>(Y_.rows()) * rms / trace, 2));
  return scores;
}

template <class T>
std::vector<double> SpectralPath<T>::leave_one_out(std::span<const double> ridges) const {
  std::vector<double> scores;
  for (std::size_t first = 0; first < ridges.size(); first += panel()) {
    const auto part = ridges.subspan(first, std::min(panel(), ridges.size() - first));
    const Systems found = systems(part);
    for (std::size_t r = 0; r < part.size(); ++r) {
      const auto errors = left_out(found, part[r], static_cast<Index>(r));
      const double score = mean_rmse(rmse_by_output(errors));
      scores.push_back(admissible(part[r]) ? score_or_infinity(score) : kInfinity);
    }
  }
  return scores;
}

template <class T>
RowBlock<double> SpectralPath<T>::leave_one_out_errors(double ridge) const {
  const std::span<const double> one(&ridge, 1);
  check_admissible(one);
  return by_rows(left_out(systems(one), ridge, 0).view());
}

template <class T>
std::vector<double> SpectralPath<T>::gcv(std::span<const double> ridges) const {
  std::vector<double> scores;
  for (const double ridge : ridges) {
    double residual = 0, trace = 0;  // |Y - F|^2/gamma^2 and tr(I - H)/gamma
    for (std::size_t i = 0; i < energy_.size(); ++i) {
      const double q = 1 / (spectrum_.g[i] + ridge);
      residual += q * q * energy_[i];
      trace += q;
    }
    const double score = static_cast<double>(Y_.rows()) / static_cast<double>(Y_.cols()) *
                         residual / (trace * trace);
    scores.push_back(admissible(ridge) ? score_or_infinity(score) : kInfinity);
  }
  return scores;
}

/// |V diag(g) V^T B + gamma B - Y|_F / |Y|_F for the columns of ridge r.
template <class T>
double SpectralPath<T>::residual(const Matrix<T>& B, std::span<const double> ridges,
                                 Index r) const {
  const Index c = modes_.cols();
  Matrix<T> part(B.rows(), c);
  std::copy(B.column(r * c), B.column(r * c) + B.rows() * c, part.data());
  Matrix<T> Z = transposed_times(part);
  for (Index o = 0; o < c; ++o)
    for (Index j = 0; j < Z.rows(); ++j)
      Z(j, o) *= static_cast<T>(
          spectrum_.g[static_cast<std::size_t>(pairs_.vectors.col_map().global({j}).value)]);
  const Matrix<T> KB = times(Z);
  double sums[2] = {0, 0};
  if (pairs_.vectors.grid().col() == 0)
    for (Index o = 0; o < c; ++o)
      for (Index i = 0; i < KB.rows(); ++i) {
        const double y = rows_(i, o);
        const double error = static_cast<double>(KB(i, o)) +
                             ridges[static_cast<std::size_t>(r)] * static_cast<double>(part(i, o)) -
                             y;
        sums[0] += error * error;
        sums[1] += y * y;
      }
  pairs_.vectors.grid().all().all_reduce(std::span<double>(sums), comm::Op::sum);
  return sums[1] > 0 ? std::sqrt(sums[0] / sums[1]) : 0;
}

template <class T>
void SpectralPath<T>::check_admissible(std::span<const double> ridges) const {
  for (const double ridge : ridges) {
    check_ridge(ridge);
    if (admissible(ridge)) continue;
    const double mean_diagonal = std::reduce(spectrum_.lambda.begin(), spectrum_.lambda.end()) /
                                 static_cast<double>(Y_.rows());
    const auto [least, largest] = std::minmax_element(spectrum_.g.begin(), spectrum_.g.end());
    const double positive =
        40.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * *largest -
        std::min(0.0, *least);
    const double enough = round_up(
        std::max(1.01 * positive, kSafe * resolution<T>(Y_.rows(), std::abs(mean_diagonal))));
    throw RunError(
        "K_g + gamma I is not positive definite to working precision at gamma = {:.3g}: the "
        "smallest eigenvalue of K_g is {:.2g}; a ridge of {:.2g} would do{}",
        ridge, *least, enough,
        mean_diagonal > 0 ? fmt::format(" (relative: {:.2g})", enough / mean_diagonal) : "");
  }
}

/// Redistributes values at this rank's rows of V (x c, alike on every rank of a process row) by
/// rows over all ranks.
template <class T>
RowBlock<double> SpectralPath<T>::by_rows(MatrixView<const T> rows) const {
  const DistMatrix<T>& V = pairs_.vectors;
  DistMatrix<T> A(V.grid(), V.rows(), rows.cols, V.nb());
  for (Index j = 0; j < A.local_cols(); ++j)
    std::copy_n(rows.column(A.col_map().global({j}).value), A.local_rows(), A.local().column(j));
  return to_rows(A, Y_.comm());
}

template <class T>
std::vector<Fit> SpectralPath<T>::fit(std::span<const double> ridges) const {
  check_admissible(ridges);
  const Index c = modes_.cols();
  const std::vector<double> gcv_scores = gcv(ridges);
  std::vector<Fit> fits(ridges.size());
  for (std::size_t first = 0; first < ridges.size(); first += panel()) {
    const auto part = ridges.subspan(first, std::min(panel(), ridges.size() - first));
    const Systems found = systems(part);
    const Matrix<T>& alpha = plain_ ? found.B : found.alpha;
    for (std::size_t r = 0; r < part.size(); ++r) {
      const auto at = static_cast<Index>(r);
      Fit& fit = fits[first + r];
      fit.ridge = part[r];
      fit.alpha = by_rows(alpha.view().block(0, at * c, alpha.rows(), c));
      fit.residual = residual(found.B, part, at);
      fit.residual_exact = true;
      fit.loo_rmse_by_output = rmse_by_output(left_out(found, part[r], at));
      fit.loo_rmse = mean_rmse(fit.loo_rmse_by_output);
      fit.loo_exact = plain_;
      fit.gcv = gcv_scores[first + r];
      fit.gcv_by_output =
          gcv_by_output(found.B.view().block(0, at * c, found.B.rows(), c), part[r]);
    }
  }
  return fits;
}

template class SpectralPath<double>;  // except the members in ridge_choice.cpp, gradient_flow.cpp
template class SpectralPath<float>;

}  // namespace mercer::krr
