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

/// Where k lies within a group of equal eigenvalues. The top k eigenvectors then depend on the
/// basis that a solver took of their eigenspace, and so does K_g wherever g takes several values on
/// it: g(lambda_k) on the vectors up to k, lambda_(k+1) = lambda_k on those after. Such a k is
/// moved to the end of the eigenspace.
namespace mercer::msk {

/// The least e >= k with lambda_e - lambda_(e+1) > tolerance: the end of the eigenvalues that are
/// equal to lambda_k, from one to the next. `lambda` is lambda_1 >= ... >= lambda_m with m >= k >=
/// 1, `next` what follows; m + 1 where `next` belongs to them too, so that the end is not known.
/// Local, pure.
Index end_of_cluster(std::span<const double> lambda, double next, Index k, double tolerance);
/// The first of them: the least s <= k with no gap above the tolerance in s ... k. Local, pure.
Index start_of_cluster(std::span<const double> lambda, Index k, double tolerance);

/// What is known of a spectrum that g is to be applied to.
struct CutOptions {
  Index top = 0;  ///< how many eigenvalues g acts on, as asked for
  Index n = 0;
  SpectrumMap::Positivity positivity = SpectrumMap::Positivity::nonnegative;
  double mode_tolerance = kModeTolerance<double>;
  double epsilon = std::numeric_limits<double>::epsilon();  ///< of the precision of K
  /// To what, relative to |Y|, predictions shall not depend on the solver.
  double agreement = 1e-9;
};
/// For K in precision T.
template <Real T>
CutOptions cut_options(Index top, Index n, SpectrumMap::Positivity positivity) {
  return {.top = top,
          .n = n,
          .positivity = positivity,
          .mode_tolerance = kModeTolerance<T>,
          .epsilon = static_cast<double>(std::numeric_limits<T>::epsilon()),
          .agreement = 1e4 * kModeTolerance<T>};
}

/// g on the first k of a spectrum, k >= the number asked for.
struct Cut {
  ModifiedSpectrum spectrum;  ///< over all eigenvalues given: g(lambda) = lambda after k
  Index asked = 0, k = 0;
  /// Eigenvalues that differ by no more, relative to lambda_1, count as equal.
  double resolution = 0;
  /// The eigenspace that k cuts goes on past the eigenvalues given: `spectrum` is not to be used.
  bool open = false;
  Index before = 0;  ///< the largest k that ends before that eigenspace; 0: there is none
  /// Eigenspaces on which an expression in i has several values: their mean is taken on all.
  Index averaged = 0;
  /// About how much of the predictions, relative to |Y|, the solver's error leaves open.
  double uncertainty = 0;
  double agreement = 0;  ///< as asked for

  /// What a user should know, one line each: k was extended, means were taken. Without a warning.
  std::vector<std::string> notes() const;
  /// Where `uncertainty` is above `agreement`; else empty.
  std::string warning() const;
};

/// g on the first k of n eigenvalues, of which `lambda` begins the spectrum and `next` follows; the
/// others stay as they are. `residuals` of the pairs, relative to lambda_1, bound the errors of
/// lambda (Weyl); empty: rounding. k is the number asked for, unless (a) lambda_k - lambda_(k+1) <=
/// tau = resolution lambda_1, resolution = max(mode_tolerance, 4 max residual), lambda_(k+1) being
/// above the mode tolerance, and (b) g is not continuous there: for a member i <= k of the cluster
/// |g_i - lambda_(k+1)| > 16 max(lambda_i - lambda_(k+1), e), e the error of lambda_i. Then k is
/// end_of_cluster(), and g is evaluated anew with that k: its lk is the eigenvalue after the
/// cluster. The gap there is above tau, so that this k is kept when it is asked for. `flat`,
/// `identity` and power:p are continuous (for |p| up to about 16): they are never moved.
///
/// A vector v_i, i <= k, with a residual of e_i lambda_1 has a component of up to e_i lambda_1 /
/// (lambda_i - lambda_j) along v_j, j > k, where K_g has lambda_j in place of g_i; the part of Y on
/// it is then scaled by g_i/(g_i + gamma) in place of lambda_j/(lambda_j + gamma), which differ by
/// less than |g_i - lambda_j|/max(g_i, lambda_j) for every ridge. `uncertainty` is the largest of
/// these products over i <= k for j = k + 1, what continuity allows (16 gaps) left out.
///
/// Local; O(k) evaluations of g. Throws as SpectrumMap::apply(), InputError for a k that is not
/// among the eigenvalues given.
Cut cut_spectrum(const SpectrumMap& g, std::span<const double> lambda, double next,
                 std::span<const double> residuals, const CutOptions& options);

/// Throws the InputError for an open cut: names the k that would do. `where`: what limits the
/// pairs, e.g. "`spectrum` S.h5".
[[noreturn]] void refuse(const Cut& cut, const SpectrumMap& g, Index n, const std::string& where);

/// How pairs are computed for a cut.
struct SolveOptions {
  Index pairs = 0;         ///< at least so many, for other purposes
  Index most = 0;          ///< no more than so many; 0: n
  double tolerance = 0;    ///< of residuals, for an iterative solver; 0: direct
  double finest = 1e-13;   ///< the smallest tolerance that it reaches
  std::string where = {};  ///< what limits `most`, for the message
};

template <class Pairs>
struct CutPairs {
  Pairs pairs;
  Cut cut;
};

/// Pairs of K and g on them: solve(k, tolerance, before) returns the top k pairs, `before` being
/// those of the call before to start from (iterative solvers), or null. Where the eigenspace that
/// `top` cuts goes on past lambda_(k+1), 8, 16, 32 ... more are asked for until its end is known;
/// where an iterative solver's residuals leave more than `agreement` open, it is called again with
/// a finer tolerance. Collective where solve is. Throws InputError with the k that would do where
/// `most` pairs do not reach the end.
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
