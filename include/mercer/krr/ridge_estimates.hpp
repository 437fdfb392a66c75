#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "mercer/krr/low_rank.hpp"
#include "mercer/krr/modified_operator.hpp"

/// Choosing the ridge without a decomposition: from matrix-vector products with K alone.
namespace mercer::krr {

/// The score by which a ridge is chosen. With A = K + gamma I (of a modified kernel K_g + gamma I)
/// and B = A^-1 Y:
///   leave_one_out  sqrt(mean_ij (B_ij / (A^-1)_ii)^2), the rmse of refitting without each row. For
///                  K_g, with alpha = S B and P = S A^-1, the rmse of SpectralPath's estimate
///                  e_i = alpha_i/P_ii + gamma (B_i - (A^-1)_ii alpha_i/P_ii)
///   gcv            n |B|_F^2 / (c (tr A^-1)^2), a mean square; for K_g, of that fixed matrix
///   holdout        rmse over rows that the fit leaves out. The fit takes the rows and columns of
///                  K (or of the fixed K_g) that belong to the other rows, and the same gamma; K is
///                  still k/n with n of the whole problem
/// The first two are SpectralPath's scores. tr A^-1 and diag A^-1 are estimated; diag P follows
/// from the latter, because P - A^-1 is known: it lies in the span of the pairs of S.
enum class RidgeCriterion { leave_one_out, gcv, holdout };

/// Whether a holdout split that leaves out about `share` of the rows leaves out row i. Local.
bool held_out(Index i, double share, std::uint64_t seed);

struct RidgeScore {
  double ridge = 0;
  double score = 0;  ///< infinite where K + gamma I is not positive definite
  /// One standard deviation of the score, by the jackknife over probes (or over groups of held-out
  /// rows), combined with solver_error.
  double error = 0;
  Index iterations = 0;   ///< of all runs of conjugate gradients for this ridge
  bool converged = true;  ///< conjugate gradients converged
  /// Pseudo-values of log(score), one a probe (or group). Scores of two ridges share the probes,
  /// and therefore most of their errors.
  std::vector<double> replicates{};
  double solver_error = 0;  ///< what the solver's measured residuals may add, relative to the score
  std::string failure{};    ///< why there is no score: what the solver threw
};

struct RidgeEstimateOptions {
  Index probes = 32;            ///< Rademacher vectors: right-hand sides beside Y
  double tolerance = 1e-6;      ///< of the first run of conjugate gradients for a ridge
  Index max_iterations = 1000;  ///< of one run of conjugate gradients
  double held_out = 0.1;        ///< share of the rows, each chosen by its own random number
  std::uint64_t seed = 0;
  std::function<void(const RidgeScore&)> done = {};  ///< after every ridge, on every rank
};

struct RidgeSelection {
  double ridge = 0;
  RidgeScore best{};                ///< the score of that ridge
  std::vector<RidgeScore> tried{};  ///< of all ridges tried, ascending
  enum class Edge { none, smallest, largest };
  Edge edge = Edge::none;  ///< the ridge lies at an end of the range that was searched
};

/// Scores of ridges by stochastic estimates.
///
/// tr A^-1 and diag A^-1 by Hutchinson's and Bekas's estimators (Hutchinson 1990; Bekas,
/// Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", Appl. Numer. Math. 2007) with
/// Rademacher probes Z, whose solutions A^-1 Z come from the same block conjugate gradients as A^-1
/// Y. Only A^-1 - D is estimated by the probes; trace and diagonal of
///     D = theta I + U diag(1/(s_i + gamma) - theta) U^T
/// are computed exactly (U and s of M, theta the mean of A^-1 on the complement of U). The
/// jackknife corrects the scores for the bias of their nonlinear formulas.
///
/// A ridge costs one run of conjugate gradients with c + probes columns (c for `holdout`), and more
/// with finer tolerances while the solver's residuals may change the score by more than 1 %. A run
/// starts from the best combination of two kept solutions, those of nearby ridges. Memory: about
/// (6 + 2) n (c + probes) numbers over the ranks, and n probes.
class RidgeEstimates {
 public:
  /// Y: n x c by rows over K's ranks. Borrows K and M; `holdout` makes a preconditioner of its own
  /// from M. Collective. Throws InputError for shapes that do not fit, fewer than two probes, or a
  /// split that leaves fewer than two rows on either side.
  RidgeEstimates(const gram::Operator& K, const LowRankPreconditioner& M, const RowBlock<double>& Y,
                 RidgeCriterion criterion, const RidgeEstimateOptions& options = {});
  /// For a modified kernel; M preconditions K_g. Borrows K_g and M.
  RidgeEstimates(const ModifiedOperator& K_g, const LowRankPreconditioner& M,
                 const RowBlock<double>& Y, RidgeCriterion criterion,
                 const RidgeEstimateOptions& options = {});
  ~RidgeEstimates();

  /// The score of one ridge > 0. Collective. Throws InputError for others.
  RidgeScore score(double ridge);
  /// The scores of all ridges, in their order; computed from the largest ridge down. Collective.
  std::vector<RidgeScore> scores(std::span<const double> ridges);

  /// Error of log(a.score/b.score): smaller than the errors of the two scores, which share the
  /// probes. Local. Throws nothing; infinite where a score is not finite.
  static double difference_error(const RidgeScore& a, const RidgeScore& b);
  /// Index of the largest ridge whose score cannot be distinguished from the least one:
  /// log(score/least) is at most difference_error(). Scores do not count that are not finite, did
  /// not converge, or have a solver_error above 0.1. Local. Throws RunError where none counts.
  static std::size_t best(std::span<const RidgeScore> scores);

  /// Chooses a ridge. First it tries G = 1e1, 1, ... 1e-10 times trace(K)/n (of a modified kernel
  /// trace(K_g)/n), from the largest down, until two scores in a row are certainly worse than the
  /// best (by two errors of the difference) or one does not count (best()). Then it tries ridges
  /// half a decade, a quarter and an eighth from the best one, while scores there differ by more
  /// than their error. The result is best() of all: among ridges that the estimates cannot
  /// distinguish the largest. Collective. Throws RunError where trace(K) is not positive or no
  /// ridge has a score that counts.
  RidgeSelection select();

 private:
  RidgeEstimates(const gram::Operator& K, const ModifiedOperator* K_g,
                 const LowRankPreconditioner& M, const RowBlock<double>& Y,
                 RidgeCriterion criterion, const RidgeEstimateOptions& options);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mercer::krr
