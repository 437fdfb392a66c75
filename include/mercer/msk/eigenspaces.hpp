#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mercer/base/index.hpp"
#include "mercer/msk/spectrum_map.hpp"

/// What to do where k lies within a group of equal eigenvalues ("k cuts an eigenspace"). The top k
/// eigenvectors then depend on the basis of the eigenspace that the solver happened to choose. K_g
/// depends on it too if g jumps at k: vectors up to k get g(lambda_k), those after k keep
/// lambda_(k+1) = lambda_k. Such a k is moved to the end of the eigenspace.
namespace mercer::msk {

/// The least e >= k with lambda_e - lambda_(e+1) > tolerance: the last member of the cluster of k,
/// in which neighbours differ by at most the tolerance. `lambda` is lambda_1 >= ... >= lambda_m,
/// m >= k >= 1, and `next` is lambda_(m+1). Returns m + 1 where `next` belongs to the cluster too,
/// so that its end is not known. Local, pure.
Index end_of_cluster(std::span<const double> lambda, double next, Index k, double tolerance);
/// The first member of that cluster: the least s <= k with no gap above the tolerance in s ... k.
/// Local, pure.
Index start_of_cluster(std::span<const double> lambda, Index k, double tolerance);

/// What cut_spectrum() must know beside the eigenvalues.
struct CutOptions {
  Index top = 0;  ///< how many eigenvalues g acts on, as asked for
  Index n = 0;
  SpectrumMap::Positivity positivity = SpectrumMap::Positivity::nonnegative;
  double mode_tolerance = kModeTolerance<double>;
  double epsilon = std::numeric_limits<double>::epsilon();  ///< of the precision of K
  /// Predictions may depend on the solver's error by at most this, relative to |Y|.
  double agreement = 1e-9;
};
/// The tolerances for a K in precision T. Local.
template <Real T>
CutOptions cut_options(Index top, Index n, SpectrumMap::Positivity positivity) {
  return {.top = top,
          .n = n,
          .positivity = positivity,
          .mode_tolerance = kModeTolerance<T>,
          .epsilon = static_cast<double>(std::numeric_limits<T>::epsilon()),
          .agreement = 1e4 * kModeTolerance<T>};
}

/// g on the first k eigenvalues of a spectrum, k >= the number asked for.
struct Cut {
  ModifiedSpectrum spectrum;  ///< over all eigenvalues given: g(lambda) = lambda after k
  Index asked = 0, k = 0;
  /// Neighbours that differ by at most this, relative to lambda_1, count as equal.
  double resolution = 0;
  /// The eigenspace that k cuts continues past the eigenvalues given: do not use `spectrum`.
  bool open = false;
  Index before = 0;  ///< where open: the largest k before that eigenspace; 0: there is none
  /// Number of eigenspaces on which g had several values (an expression in i, say): each was given
  /// their mean.
  Index averaged = 0;
  /// Estimate of how far the solver's error can change the predictions, relative to |Y|.
  double uncertainty = 0;
  double agreement = 0;  ///< CutOptions::agreement

  /// What a user should know, one line each: k was extended, means were taken. Local.
  std::vector<std::string> notes() const;
  /// One line where `uncertainty` is above `agreement`; else empty. Local.
  std::string warning() const;
};

/// Applies g to the first k of n eigenvalues and leaves the others as they are. `lambda` holds the
/// largest eigenvalues, at least options.top of them, and `next` the one after. `residuals` of the
/// pairs, relative to lambda_1, bound the errors of lambda (Weyl); empty: rounding errors alone.
///
/// k is options.top, unless (a) lambda_k - lambda_(k+1) <= tau = resolution lambda_1, resolution =
/// max(mode_tolerance, 4 max residual), with lambda_(k+1) above the mode tolerance, and (b) g jumps
/// there: for a member i <= k of the cluster, above the mode tolerance,
/// |g_i - lambda_(k+1)| > 16 max(lambda_i - lambda_(k+1), e), e the error of lambda_i. Then k is
/// end_of_cluster(), or the last eigenvalue above the mode tolerance if that comes first, and g is
/// evaluated again with that k: its lk is the eigenvalue after the cluster. Asked for this k, the
/// function keeps it. `flat`, `identity` and power:p with |p| up to about 16 do not jump: their k
/// is never moved.
///
/// A computed v_i, i <= k, with a residual of e_i lambda_1 has a component of up to e_i lambda_1 /
/// (lambda_i - lambda_j) along v_j, j > k. There the exact K_g has lambda_j and the computed one
/// g_i, so that g_i/(g_i + gamma) scales that part of Y in place of lambda_j/(lambda_j + gamma).
/// These differ by less than |g_i - lambda_j|/max(g_i, lambda_j) for every ridge. `uncertainty` is
/// the largest product of the two bounds over i <= k for j = k + 1; of |g_i - lambda_j| only what
/// exceeds 16 gaps counts.
///
/// Local; O(k) evaluations of g. Throws as SpectrumMap::apply(), and InputError where options.top
/// is not in 1 ... lambda.size().
Cut cut_spectrum(const SpectrumMap& g, std::span<const double> lambda, double next,
                 std::span<const double> residuals, const CutOptions& options);

/// Throws the InputError for an open cut, with a k that is possible. `where`: what limits the
/// number of pairs, e.g. "`spectrum` S.h5 holds no more"; may be empty. Local.
[[noreturn]] void refuse(const Cut& cut, const SpectrumMap& g, Index n, const std::string& where);

/// How solve_and_cut() computes pairs.
struct SolveOptions {
  Index pairs = 0;         ///< compute at least so many, whatever g needs
  Index most = 0;          ///< compute at most so many; 0: n
  double tolerance = 0;    ///< residuals of an iterative solver; 0: the solver is direct
  double finest = 1e-13;   ///< the smallest tolerance that an iterative solver reaches
  std::string where = {};  ///< what limits `most`, for refuse()
};

template <class Pairs>
struct CutPairs {
  Pairs pairs;
  Cut cut;
};

/// Computes pairs of K and applies g to them. solve(k, tolerance, before) returns the top k pairs;
/// `before` points to the pairs of the previous call, from which an iterative solver can start, and
/// is null in the first call and with a direct solver. While the eigenspace that `top` cuts is not
/// known to its end, 8, 16, 32 ... more pairs are computed. Where an iterative solver's residuals
/// leave an `uncertainty` above `agreement`, it is called again with a finer tolerance. Collective
/// where solve is. Throws as cut_spectrum(), and InputError (refuse()) where `most` pairs do not
/// reach the end of the eigenspace.
template <class Pairs, class Solve>
CutPairs<Pairs> solve_and_cut(const SpectrumMap& g, const CutOptions& options,
                              const SolveOptions& how, Solve&& solve) {
  const Index most = how.most > 0 ? std::min(how.most, options.n) : options.n;
  Index wanted = std::min(std::max(options.top, how.pairs), most), ahead = 8;
  double tolerance = how.tolerance;
  std::optional<Pairs> pairs;
  for (;;) {
    if (tolerance == 0) pairs.reset();  // its memory is the solver's
    pairs = solve(wanted, tolerance, pairs.has_value() ? &*pairs : nullptr);
    Cut cut = cut_spectrum(g, pairs->values, pairs->next, pairs->residuals, options);
    if (cut.open) {
      if (pairs->k() >= most) refuse(cut, g, options.n, how.where);
      wanted = std::min(most, pairs->k() + ahead);
      ahead *= 2;
    } else if (cut.uncertainty > cut.agreement && tolerance > how.finest) {
      wanted = std::max(wanted, cut.k);
      tolerance = std::max(how.finest, 0.3 * tolerance * cut.agreement / cut.uncertainty);
    } else {
      return {std::move(*pairs), std::move(cut)};
    }
  }
}

}  // namespace mercer::msk
