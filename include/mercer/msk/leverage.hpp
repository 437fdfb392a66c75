#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "mercer/gram/cost.hpp"
#include "mercer/gram/operator.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "mercer/spectral/estimates.hpp"
#include "mercer/spectral/krylov.hpp"

/// Ridge leverage scores and the statistical dimension ([L] Def. 3.1, arXiv 2009.09829, whose
/// lambda is n gamma):
///
///     l_i = [K (K + gamma I)^-1]_ii,   s_gamma(K) = tr[K (K + gamma I)^-1] = sum_i l_i.
///
/// l_i, between 0 and 1, is how far the fit of row i follows its own target; s_gamma the number of
/// directions that a ridge gamma leaves free. Eigenvalues below 0, which are rounding, count as 0.
namespace mercer::msk {

using dist::RowBlock;

struct LeverageScores {
  std::vector<double> ridges{};                 ///< gamma_1, gamma_2, ...
  RowBlock<double> scores{};                    ///< n x ridges: l_i
  std::vector<spectral::Estimate> dimension{};  ///< s_gamma of each ridge; error 0: exact
  /// n x ridges: one standard deviation of each score; no columns where they are exact.
  RowBlock<double> errors{};
  /// Steps that the slowest of the linear systems took, and whether all reached their tolerance;
  /// where some did not, what is missing is in the errors.
  Index steps = 0;
  bool converged = true;

  bool exact() const { return errors.cols() == 0; }
};

/// Exact scores, for any number of ridges in one pass over V: (V o V) diag(lambda/(lambda +
/// gamma)). V n x n on the pairs' grid; 2 n^2 r flops for r ridges. Memory a rank: 2 n r/p numbers
/// on a grid of p rows, and a panel of 256 rows of V. Collective. Throws InputError unless all n
/// pairs are there, with vectors, and every ridge is positive and finite.
template <class T>
LeverageScores leverage_scores(const spectral::Eigenpairs<T>& pairs,
                               std::span<const double> ridges);

struct LeverageProbes {
  Index probes = 32;  ///< Rademacher vectors z; at least 2
  std::uint64_t seed = 0;
  double tolerance = 1e-8;     ///< of the linear systems: |residual| <= tolerance |z|
  Index max_iterations = 500;  ///< of conjugate gradients
  /// Called on every rank with the share done; may be empty. Must not communicate.
  std::function<void(double)> progress = {};
};

/// Scores from the top k pairs and products with K. With P = I - V V^T, B = P K P, m_i = P_ii and
/// u_i = B_ii, which are known,
///
///     l_i = sum_(j<=k) lambda_j/(lambda_j + gamma) v_ij^2 + m_i - [gamma (B + gamma I)^-1 P]_ii.
///
/// The last diagonal is estimated from its products with probes z: the means of z_i (.z)_i, less a
/// P + b B, whose diagonals are known; a and b, one each for a ridge, minimise the variance. The
/// eigenvalues of B are in [0, lambda_k], so that the part outside the pairs is at least
/// u_i/(lambda_k + gamma) and, x/(x + gamma) being concave, at most m_i u_i/(u_i + gamma m_i):
/// estimates are clamped to that, and errors are at most its width. With a ridge well above
/// lambda_k the bounds alone give the score. Errors are by the spread over the probes, plus the
/// residuals of the linear systems and, to first order, those of the pairs.
///
/// One Krylov space serves all ridges (conjugate gradients for shifted systems). Cost: probes x
/// steps products of K with one vector, about (lambda_k/gamma)^1/2 log(1/tolerance) steps for the
/// smallest ridge; 4 n k flops a product. Memory: leverage_bytes(). Collective. The same results,
/// to rounding, on every number of ranks. Throws InputError for bad ridges, fewer than 2 probes,
/// and pairs that are not K's; RunError where products are not finite.
LeverageScores leverage_scores(const spectral::TopPairs& pairs, const gram::Operator& K,
                               std::span<const double> ridges, const LeverageProbes& options);

/// Bytes a rank that leverage_scores() of k < n pairs takes beside K and the pairs, for so many
/// ridges. Local.
double leverage_bytes(const gram::Sizes& sizes, Index k, Index ridges,
                      const LeverageProbes& options);

}  // namespace mercer::msk
