#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "layout.hpp"
#include "mercer/base/random.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/spectral/probes.hpp"

namespace mercer::krr {
namespace {

/// The matrix's name in messages, and the scale of relative ridges.
struct Problem {
  std::string name;
  double ridge = 0;
  double mean_diagonal = 0;  // trace(K)/n of the K that g was not applied to
};

/// Factorises A in place; false where A is not positive definite to working precision. An
/// eigenvalue that is exactly 0 often gives a tiny positive pivot; unless the ridge excludes that,
/// the smallest eigenvalue is estimated.
template <class T>
bool factorise(DistMatrix<T>& A, double ridge) {
  const double floor = resolution<T>(A.rows(), la::trace(A) / static_cast<double>(A.rows()));
  if (la::cholesky(A) != 0) return false;
  return ridge > 10 * kSafe * floor || la::smallest_eigenvalue(A) > floor;
}

template <class T>
std::vector<T> diagonal(const DistMatrix<T>& A) {
  std::vector<T> values;
  for (Index j = 0; j < A.local_cols(); ++j) {
    const GlobalIndex g = A.col_map().global({j});
    if (A.row_map().mine(g)) values.push_back(A(A.row_map().local(g), {j}));
  }
  return values;
}

/// Throws the error of a failed factorisation, which left the strict upper triangle of A intact.
/// Restores A: on the transposed grid this rank holds the transpose of its local part, so that the
/// intact triangle is the lower one, which is mirrored. Then tries growing shifts until A + shift I
/// can be factorised, to suggest a ridge.
template <class T>
[[noreturn]] void refuse(DistMatrix<T>&& failed, const std::vector<T>& diagonal,
                         const Problem& problem) {
  const dist::ProcessGrid& grid = failed.grid();
  const int key = grid.active() ? grid.col() * grid.rows() + grid.row() : grid.all().size();
  const dist::ProcessGrid transposed(grid.all().split(0, key), {grid.cols(), grid.rows()});
  auto A = comm::together(grid.all(), [&] {
    return DistMatrix<T>(transposed, failed.cols(), failed.rows(), failed.nb());
  });
  std::size_t d = 0;
  for (Index j = 0; j < failed.local_cols(); ++j)
    for (Index i = 0; i < failed.local_rows(); ++i) {
      const bool on_diagonal = failed.row_map().global({i}) == failed.col_map().global({j});
      A.local()(j, i) = on_diagonal ? diagonal[d++] : failed.local()(i, j);
    }
  failed = DistMatrix<T>(grid, 0, 0, failed.nb());
  dist::mirror_lower(A);

  const double norm = la::frobenius_norm(A);
  if (!std::isfinite(norm)) throw RunError("{} has entries that are not finite", problem.name);
  if (norm == 0) throw RunError("{} and the ridge are zero: nothing can be fitted", problem.name);
  DistMatrix<T> L(transposed, 0, 0, A.nb());
  for (double shift = static_cast<double>(std::numeric_limits<T>::epsilon()) * norm;
       shift <= 20 * norm; shift *= 10) {
    L = DistMatrix<T>(transposed, 0, 0, A.nb());
    L = comm::together(grid.all(), [&] { return A.copy(); });
    la::shift_diagonal(L, shift);
    if (!factorise(L, problem.ridge)) continue;
    const double enough = round_up(std::max(
        problem.ridge + shift, kSafe * resolution<T>(A.rows(), std::abs(problem.mean_diagonal))));
    throw RunError(
        "{} + gamma I is not positive definite to working precision at gamma = {:.3g}: the "
        "smallest eigenvalue of {} is about {:.2g}; a ridge of {:.2g} would do{}",
        problem.name, problem.ridge, problem.name,
        la::smallest_eigenvalue(L) - shift - problem.ridge, enough,
        problem.mean_diagonal > 0
            ? fmt::format(" (relative: {:.2g})", enough / problem.mean_diagonal)
            : "");
  }
  throw RunError(
      "{} + gamma I is not positive definite at gamma = {:.3g}, nor with any ridge up to {:.2g}",
      problem.name, problem.ridge, 20 * norm);
}

template <class T>
struct Solution {
  DistMatrix<T> B;
  double residual = 0;
};

/// Solves (A + gamma I) B = Y.
template <class T>
Solution<T> solve(DistMatrix<T>&& A, const RowBlock<double>& Y, const Problem& problem) {
  la::shift_diagonal(A, problem.ridge);
  DistMatrix<T> W(A.grid(), A.rows(), spectral::kResidualProbes, A.nb()),
      AW(A.grid(), A.rows(), spectral::kResidualProbes, A.nb());
  const Random random(0, Stream::probe);
  W.fill([&](Index i, Index j) {
    return random.normal(static_cast<std::uint64_t>(i * spectral::kResidualProbes + j));
  });
  la::symm(T{1}, A, W, T{0}, AW);

  Solution<T> solution{to_grid<T>(Y, A.grid(), A.nb())};
  DistMatrix<T> WtR(A.grid(), spectral::kResidualProbes, Y.cols(), A.nb());
  la::gemm(blas::Trans::yes, blas::Trans::no, T{1}, W, solution.B, T{0}, WtR);
  const double norm = la::frobenius_norm(solution.B);

  const std::vector<T> kept = diagonal(A);
  if (!factorise(A, problem.ridge)) refuse(std::move(A), kept, problem);
  la::cholesky_solve(A, solution.B);
  la::gemm(blas::Trans::yes, blas::Trans::no, T{-1}, AW, solution.B, T{1}, WtR);
  solution.residual = norm > 0
                          ? la::frobenius_norm(WtR) /
                                (std::sqrt(static_cast<double>(spectral::kResidualProbes)) * norm)
                          : 0;
  if (!std::isfinite(solution.residual) || !std::isfinite(la::frobenius_norm(solution.B)))
    throw RunError("the solution of ({} + gamma I) B = Y is not finite at gamma = {:.3g}",
                   problem.name, problem.ridge);
  return solution;
}

template <class T>
Fit finished(const Solution<T>& solution, const RowBlock<double>& Y, double ridge) {
  Fit fit;
  fit.ridge = ridge;
  fit.alpha = to_rows(solution.B, Y.comm());
  fit.residual = solution.residual;
  return fit;
}

template <class T>
double mean_diagonal(const DistMatrix<T>& K) {
  return la::trace(K) / static_cast<double>(K.rows());
}

}  // namespace

template <class T>
Fit fit_cholesky(DistMatrix<T>&& K, const RowBlock<double>& Y, double ridge) {
  check_ridge(ridge);
  check_targets(K, Y);
  const Problem problem{"K", ridge, mean_diagonal(K)};
  return finished(solve(std::move(K), Y, problem), Y, ridge);
}

template <class T>
Fit fit_modified(DistMatrix<T>&& K, const spectral::Eigenpairs<T>& pairs,
                 const msk::ModifiedSpectrum& spectrum, const RowBlock<double>& Y, double ridge) {
  check_ridge(ridge);
  check_targets(K, Y);
  const Problem problem{"K_g", ridge, mean_diagonal(K)};
  msk::modify(K, pairs, spectrum);
  Solution<T> solution = solve(std::move(K), Y, problem);
  msk::GridPreconditioner<T>(pairs, spectrum).apply(solution.B);
  return finished(solution, Y, ridge);
}

template <class T>
Fit fit_preconditioned_loss(DistMatrix<T>&& K, const spectral::Eigenpairs<T>& pairs,
                            const msk::ModifiedSpectrum& spectrum, const RowBlock<double>& Y,
                            double ridge) {
  check_ridge(ridge);
  check_targets(K, Y);
  std::vector<double> c = spectrum.ratio();
  for (double& x : c) {
    if (!(x > 0)) throw InputError("ridge regression in the preconditioned loss needs g > 0");
    x = ridge * (1 / x - 1);
  }
  const Problem problem{"K + gamma (S^-1 - I)", ridge, mean_diagonal(K)};
  msk::add_modes<T>(K, pairs.vectors, c);
  return finished(solve(std::move(K), Y, problem), Y, ridge);
}

#define MERCER_INSTANTIATE(T)                                                                    \
  template Fit fit_cholesky<T>(DistMatrix<T>&&, const RowBlock<double>&, double);                \
  template Fit fit_modified<T>(DistMatrix<T>&&, const spectral::Eigenpairs<T>&,                  \
                               const msk::ModifiedSpectrum&, const RowBlock<double>&, double);   \
  template Fit fit_preconditioned_loss<T>(DistMatrix<T>&&, const spectral::Eigenpairs<T>&,       \
                                          const msk::ModifiedSpectrum&, const RowBlock<double>&, \
                                          double);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)

}  // namespace mercer::krr
