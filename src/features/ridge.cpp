#include "mercer/features/ridge.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mercer/base/error.hpp"
#include "mercer/base/random.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/probes.hpp"

namespace mercer::features {
namespace {

using blas::Trans;
using dist::DistMatrix;

void check_ridge(double ridge) {
  if (!(ridge > 0) || ridge > 1e300)
    throw InputError("`ridge` {}: give a positive number: Psi^T Psi alone may be singular", ridge);
}

/// A ridge below which rounding decides whether A + gamma I is positive definite.
double safe_ridge(Index columns, double trace) {
  constexpr double kSafe = 100;
  return kSafe * std::numeric_limits<double>::epsilon() * std::sqrt(static_cast<double>(columns)) *
         trace;
}

/// A matrix that every rank has, on the grid, and back. The second is collective.
DistMatrix<double> on_grid(const Matrix<double>& B, const dist::ProcessGrid& grid, Index nb) {
  DistMatrix<double> result(grid, B.rows(), B.cols(), nb);
  result.fill([&](Index i, Index j) { return B(i, j); });
  return result;
}
Matrix<double> on_all(const DistMatrix<double>& A) {
  Matrix<double> result(A.rows(), A.cols(), 0.0);
  for (Index j = 0; j < A.local_cols(); ++j)
    for (Index i = 0; i < A.local_rows(); ++i)
      result(A.row_map().global({i}).value, A.col_map().global({j}).value) = A.local()(i, j);
  A.grid().all().all_reduce(
      std::span<double>(result.data(), static_cast<std::size_t>(result.size())), comm::Op::sum);
  return result;
}

}  // namespace

FeatureFit fit_cholesky(NormalEquations&& system, double ridge) {
  check_ridge(ridge);
  auto A = std::move(system.A);
  const auto& grid = A.grid();
  const Index s = A.rows(), nb = A.nb();
  const double trace = la::trace(A);
  la::shift_diagonal(A, ridge);
  DistMatrix<double> W(grid, s, spectral::kResidualProbes, nb),
      AW(grid, s, spectral::kResidualProbes, nb);
  const Random random(0, Stream::probe);
  W.fill([&](Index i, Index j) {
    return random.normal(static_cast<std::uint64_t>(i * spectral::kResidualProbes + j));
  });
  la::symm(1.0, A, W, 0.0, AW);
  auto beta = on_grid(system.B, grid, nb);
  DistMatrix<double> left(grid, spectral::kResidualProbes, beta.cols(), nb);
  la::gemm(Trans::yes, Trans::no, 1.0, W, beta, 0.0, left);
  const double norm = la::frobenius_norm(beta);
  if (la::cholesky(A) != 0)
    throw RunError(
        "Psi^T Psi + gamma I is not positive definite to working precision at gamma = {:.3g}: a "
        "ridge of {:.1g} would do",
        ridge, ridge + safe_ridge(s, trace));
  la::cholesky_solve(A, beta);
  la::gemm(Trans::yes, Trans::no, -1.0, AW, beta, 1.0, left);
  FeatureFit fit{.ridge = ridge, .beta = on_all(beta)};
  fit.residual = norm > 0 ? la::frobenius_norm(left) /
                                (std::sqrt(static_cast<double>(spectral::kResidualProbes)) * norm)
                          : 0;
  if (!std::isfinite(fit.residual))
    throw RunError("the coefficients at gamma = {:.3g} are not finite", ridge);
  return fit;
}

spectral::Eigenpairs<double> eigenpairs(NormalEquations& system, const spectral::Options& options) {
  dist::mirror_lower(system.A);
  return spectral::eigenpairs(std::move(system.A), options);
}

FeaturePath::FeaturePath(const spectral::Eigenpairs<double>& pairs,
                         const msk::ModifiedSpectrum& spectrum, const NormalEquations& system)
    : pairs_(pairs),
      lambda_(pairs.values),
      g_(spectrum.g),
      ratio_(spectrum.ratio()),
      y_square_(system.y_square),
      n_(system.n) {
  const Index s = pairs.n();
  if (pairs.k() != s || pairs.vectors.cols() != s || system.B.rows() != s || std::ssize(g_) != s)
    throw InputError("features: {} of {} eigenpairs, g of {}: the path of ridges takes all",
                     pairs.k(), system.B.rows(), g_.size());
  const auto& U = pairs.vectors;
  const auto B = on_grid(system.B, U.grid(), U.nb());
  DistMatrix<double> Z(U.grid(), s, B.cols(), U.nb());
  la::gemm(Trans::yes, Trans::no, 1.0, U, B, 0.0, Z);
  Z_ = on_all(Z);
}

void FeaturePath::require_definite(double ridge) const {
  check_ridge(ridge);
  const double least = *std::ranges::min_element(g_), largest = *std::ranges::max_element(g_);
  const double resolution = 4 * std::numeric_limits<double>::epsilon() * largest;
  if (least + ridge > resolution) return;
  throw RunError(
      "Psi^T Psi + gamma I is not positive definite to working precision at gamma = {:.3g}: a "
      "ridge "
      "of {:.1g} would do",
      ridge, 10 * resolution - std::min(0.0, least));
}

std::vector<double> FeaturePath::gcv_by_output(double ridge) const {
  const auto n = static_cast<double>(n_);
  double free = 0;
  std::vector<double> square = y_square_;  // mean of (y - f)^2
  for (std::size_t j = 0; j < g_.size(); ++j) {
    free += g_[j] / (g_[j] + ridge);
    const double w = ratio_[j] / (g_[j] + ridge);
    for (std::size_t o = 0; o < square.size(); ++o) {
      const double z = Z_(static_cast<Index>(j), static_cast<Index>(o));
      square[o] -= w * z * z * (2 - w * lambda_[j]);
    }
  }
  const double left = 1 - free / n;
  for (double& value : square) value = std::max(0.0, value) / (left * left);
  return square;
}

std::vector<double> FeaturePath::gcv(std::span<const double> ridges) const {
  std::vector<double> scores;
  for (const double ridge : ridges) {
    const auto by_output = gcv_by_output(ridge);
    const double score = std::reduce(by_output.begin(), by_output.end()) /
                         static_cast<double>(std::max<std::size_t>(1, by_output.size()));
    scores.push_back(std::isfinite(score) ? score : std::numeric_limits<double>::infinity());
  }
  return scores;
}

FeaturePath::Weights FeaturePath::weights(Index j, double ridge) const {
  const auto at = static_cast<std::size_t>(j);
  const double r = ratio_[at], below = g_[at] + ridge;
  return {.w = r / below, .q = r == 1 ? 1 / below : (r + ridge * (1 - r) / lambda_[at]) / below};
}

Matrix<double> FeaturePath::combine(const std::function<double(Index)>& weight) const {
  const auto& U = pairs_.vectors;
  Matrix<double> weighted(Z_.rows(), Z_.cols());
  for (Index j = 0; j < Z_.rows(); ++j) {
    const double w = weight(j);
    for (Index o = 0; o < Z_.cols(); ++o) weighted(j, o) = w * Z_(j, o);
  }
  DistMatrix<double> result(U.grid(), Z_.rows(), Z_.cols(), U.nb());
  la::gemm(Trans::no, Trans::no, 1.0, U, on_grid(weighted, U.grid(), U.nb()), 0.0, result);
  return on_all(result);
}

std::vector<FeatureFit> FeaturePath::fit(std::span<const double> ridges) const {
  std::vector<FeatureFit> fits;
  for (const double ridge : ridges) {
    require_definite(ridge);
    FeatureFit fit{.ridge = ridge,
                   .beta = combine([&](Index j) { return weights(j, ridge).w; }),
                   .freedom = 0};
    for (const double g : g_) fit.freedom += g / (g + ridge);
    fit.residual = pairs_.residuals.empty() ? 0 : *std::ranges::max_element(pairs_.residuals);
    fit.gcv = gcv(std::span<const double>(&ridge, 1)).front();
    fit.gcv_by_output = gcv_by_output(ridge);
    fits.push_back(std::move(fit));
  }
  return fits;
}

}  // namespace mercer::features
