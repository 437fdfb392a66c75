#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "mercer/krr/low_rank.hpp"
#include "mercer/krr/modified_operator.hpp"

/// Choosing the ridge without a decomposition: from products with K alone.
namespace mercer::krr {

/// What a ridge is judged by. With A = K + gamma I and B = A^-1 Y:
///   leave_one_out  sqrt(mean_ij (B_ij / (A^-1)_ii)^2), the rmse of refitting without each row; of
///   a
///                  modified kernel K_g, with alpha = S B and P = S A^-1, SpectralPath's estimate
///                  e_i = alpha_i/P_ii + gamma (B_i - (A^-1)_ii alpha_i/P_ii)
///   gcv            n |B|_F^2 / (c (tr A^-1)^2), a mean square; of the fixed matrix K_g
///   holdout        rmse over rows that the fit does not see; K (or the fixed matrix K_g) and gamma
///                  of the others as they are in the whole problem (K = k/n, so that n gamma is the
///                  same)
/// The first two are SpectralPath's scores; tr A^-1 and diag A^-1 are estimated, and diag P with
/// the latter: P - A^-1 lies in the span of the pairs that S has, where it is known.
enum class RidgeCriterion { leave_one_out, gcv, holdout };

struct RidgeScore {
  double ridge = 0;
  double score = 0;  ///< infinite where K + gamma I is not positive definite
  /// One standard deviation of the score: by the jackknife over probes (or over groups of held-out
  /// rows), with what the solver's measured residuals may add.
  double error = 0;
  Index iterations = 0;
  bool converged = true;  ///< the solver did
  /// Pseudo-values of log(score), one a probe (or group): scores of two ridges share the probes,
  /// and so most of their errors.
  std::vector<double> replicates{};
  double solver_error = 0;  ///< part of `error`, relative
};

struct RidgeEstimateOptions {
  Index probes = 32;            ///< Rademacher vectors, solved for together with Y
  double tolerance = 1e-6;      ///< of conjugate gradients
  Index max_iterations = 1000;  ///< a ridge
  double held_out = 0.1;        ///< share of the rows, each chosen by its own random number
  std::uint64_t seed = 0;
  std::function<void(const RidgeScore&)> done = {};  ///< after every ridge, on every rank
};

struct RidgeSelection {
  double ridge = 0;
  RidgeScore best{};                ///< of that ridge
  std::vector<RidgeScore> tried{};  ///< by ascending ridge
  enum class Edge { none, smallest, largest };
  Edge edge = Edge::none;  ///< the ridge lies at an end of the range that was searched
};

/// Scores of ridges by stochastic estimates.
///
/// tr A^-1 and diag A^-1 by Hutchinson's and Bekas's estimators (Hutchinson 1990; Bekas,
/// Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", Appl. Numer. Math. 2007) with
/// Rademacher probes Z, whose solutions A^-1 Z come from the same block conjugate gradients as A^-1
/// Y. Trace and diagonal of
///     D = theta I + U diag(1/(s_i + gamma) - theta) U^T,
/// M's low-rank part and the mean of what is beside it, are taken exactly, so that probes see A^-1
/// - D alone. Scores are corrected for the bias of their nonlinear formulas by the jackknife.
///
/// A ridge costs one run of conjugate gradients with c + probes columns (c for `holdout`), started
/// from the best combination of the solutions of the two ridges nearest by, which are kept: memory
/// about (6 + 2) n (c + probes) numbers over the ranks, and n probes.
class RidgeEstimates {
 public:
  /// Borrows K, M and Y (n x c by rows over K's ranks); `holdout` makes a preconditioner of its own
  /// from M. Collective. Throws InputError for shapes, fewer than two probes, or a split that
  /// leaves fewer than two rows on either side.
  RidgeEstimates(const gram::Operator& K, const LowRankPreconditioner& M, const RowBlock<double>& Y,
                 RidgeCriterion criterion, const RidgeEstimateOptions& options = {});
  /// Of a modified kernel; M is one for K_g.
  RidgeEstimates(const ModifiedOperator& K_g, const LowRankPreconditioner& M,
                 const RowBlock<double>& Y, RidgeCriterion criterion,
                 const RidgeEstimateOptions& options = {});
  ~RidgeEstimates();

  /// Of one ridge > 0. Collective. Throws InputError for others.
  RidgeScore score(double ridge);
  /// Of all, in their order; solved for from the largest down.
  std::vector<RidgeScore> scores(std::span<const double> ridges);

  /// Error of log(a.score/b.score), which the common probes make smaller than those of the two.
  /// Local. Throws nothing; infinite where a score is not finite.
  static double difference_error(const RidgeScore& a, const RidgeScore& b);
  /// Index of the largest ridge whose score is not told apart from the least one: log(score/least)
  /// is at most difference_error(). Scores that did not converge do not count. Local. Throws
  /// RunError where none does.
  static std::size_t best(std::span<const RidgeScore> scores);

  /// Decades of G in 1e1 ... 1e-10 times trace(K)/n from the largest down, until two scores in a
  /// row are certainly worse than the best (by two errors of the difference), the solver does not
  /// converge, or K + gamma I is not positive definite; then halves of a decade, quarters and
  /// eighths beside the best, while the scores there differ by more than their error. The ridge is
  /// the largest whose score is not certainly worse than the best: what the estimates cannot tell
  /// apart goes to the larger ridge. Collective. Throws RunError when no ridge has a finite score.
  RidgeSelection select();

 private:
  RidgeEstimates(const gram::Operator& K, const ModifiedOperator* K_g,
                 const LowRankPreconditioner& M, const RowBlock<double>& Y,
                 RidgeCriterion criterion, const RidgeEstimateOptions& options);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mercer::krr
