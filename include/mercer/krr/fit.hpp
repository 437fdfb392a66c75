#pragma once

#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "mercer/dist/row_block.hpp"
#include "mercer/krr/gradient_flow.hpp"
#include "mercer/msk/modified_kernel.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::krr {

using dist::DistMatrix;
using dist::RowBlock;

/// Coefficients for one ridge: f(x) = (1/n) sum_i k(x, x_i) alpha_i, always with respect to k
/// itself, also for a modified kernel.
struct Fit {
  double ridge = 0;  ///< gamma, on the scale of K = k/n
  /// Training time t (GradientFlow); infinite: ridge regression.
  double time = std::numeric_limits<double>::infinity();
  RowBlock<double> alpha;     ///< n x c
  RowBlock<double> fitted{};  ///< F on the training rows, n x c, of a GradientFlow; else empty
  /// |A B - Y|_F / |Y|_F of the system A B = Y that was solved; of a GradientFlow see
  /// SpectralPath::fit().
  double residual = 0;
  /// Of a GradientFlow from top pairs alone (TopFlow), bounds on what the other modes change, root
  /// mean squares over the outputs: of F, over the rows too, and of the prediction for a row with
  /// k(z, z) = 1, for others times k(z, z)^(1/2). 0: all pairs were known.
  double rest_fitted = 0, rest_predicted = 0;
  bool residual_exact = false;  ///< false: estimated with 16 probe columns
  double loo_rmse = -1;  ///< leave-one-out rmse over rows and outputs, where computed; else -1
  std::vector<double> loo_rmse_by_output{};  ///< c of them, where each was computed; else empty
  /// true: loo_rmse is that of refitting without each row (plain ridge regression from all
  /// eigenpairs). false: an estimate, by the S of all rows or by random probes.
  bool loo_exact = false;
  double gcv = -1;  ///< generalised cross-validation score, where computed; else -1
  std::vector<double> gcv_by_output{};  ///< c of them, gcv is their mean; empty: not computed
};

/// The three fits by Cholesky (p?potrf). K is n x n with both triangles, and is destroyed; Y is n x
/// c by rows over the ranks of K's grid. Collective. n^3/3 + 2 n^2 c flops, plus those named below;
/// memory: K and 2 n (c + 16) numbers.
///
/// The residual is estimated without a copy of K. W has s = 16 Gaussian columns, and A W is formed
/// before the factorisation; |W^T Y - (A W)^T B|_F / sqrt(s) then has |A B - Y|_F as its root mean
/// square.
///
/// Throw InputError for a ridge that is negative or not finite, and for shapes that do not fit;
/// RunError where the matrix is not positive definite to working precision, with an estimate of its
/// smallest eigenvalue and a ridge that would do. The factorisation was tried and succeeded with
/// that ridge or a smaller one, which takes a second n x n matrix. RunError too where the matrix or
/// the solution is not finite.

/// alpha = (K + gamma I)^-1 Y.
template <class T>
Fit fit_cholesky(DistMatrix<T>&& K, const RowBlock<double>& Y, double ridge);

/// Inductive MSK for any k: alpha = S (K S + gamma I)^-1 Y, where K S = K + V diag(g - lambda) V^T
/// is built in place of K (assembled again, because the eigensolver destroyed it). At most 2 n^2 k
/// flops more.
template <class T>
Fit fit_modified(DistMatrix<T>&& K, const spectral::Eigenpairs<T>& pairs,
                 const msk::ModifiedSpectrum& spectrum, const RowBlock<double>& Y, double ridge);

/// Ridge regression in the preconditioned loss ([G] Lemma B.2; it prints K S K + gamma I where
/// K S K + gamma K is meant): alpha = (K + gamma S^-1)^-1 Y with
/// S^-1 = I + V diag(lambda/g - 1) V^T. Equals fit_modified() up to rounding. At most 2 n^2 k flops
/// more. Throws InputError too unless g > 0.
template <class T>
Fit fit_preconditioned_loss(DistMatrix<T>&& K, const spectral::Eigenpairs<T>& pairs,
                            const msk::ModifiedSpectrum& spectrum, const RowBlock<double>& Y,
                            double ridge);

/// The ridges among which one is chosen: 41 log-spaced G in 1e-10 ... 1e1, times `mean_diagonal` =
/// trace(K)/n (of a modified kernel trace(K_g)/n). Local.
std::vector<double> ridge_grid(double mean_diagonal);

/// Index of the largest ridge whose score is not certainly worse than another's. e_r is the
/// relative rounding error of the score s_r: without rounding the score lies between s_r/(1 + e_r)
/// and s_r/(1 - e_r) (no upper bound where e_r >= 1). The result is the largest ridge gamma_r with
/// s_r/(1 + e_r) <= min_q s_q/(1 - e_q), so that differences within rounding never decide. Ridges
/// in any order, scores >= 0; a score that is not finite is never chosen. Local. Throws RunError
/// where no score is finite with e < 1.
std::size_t best_ridge(std::span<const double> ridges, std::span<const double> scores,
                       std::span<const double> errors);

/// The times among which one is chosen: 8 a decade from 0.1/`largest`, the largest eigenvalue, to
/// 1e10/`mean`, trace(K)/n (of a modified kernel those of K_g), ascending, with the ridge and the
/// step of `like`; of descent at whole steps, without repetitions. Local.
std::vector<GradientFlow> time_grid(const GradientFlow& like, double largest, double mean);

/// Index of the shortest time whose score is not certainly worse than another's, as best_ridge().
/// Local.
std::size_t best_time(std::span<const GradientFlow> flows, std::span<const double> scores,
                      std::span<const double> errors);

/// Ridge regression from all eigenpairs of K, for any number of ridges: K_g = V diag(g) V^T and
/// alpha = S (K_g + gamma I)^-1 Y, i.e. alpha = V diag(r_i/(g_i + gamma)) V^T Y with r_i =
/// g_i/lambda_i (1 for modes left as they are); g = identity is plain ridge regression. V^T Y is
/// formed once (2 n^2 c flops); then as many ridges as fit into 256 columns, at least one, share
/// each GEMM. Every rank works on its own part of V and sums along its process row, so that few
/// right-hand sides load all ranks alike. Memory: panels of max(256, c) columns.
template <class T>
class SpectralPath {
 public:
  /// Borrows `pairs` and Y: both must outlive it. Collective. Throws InputError unless k = n, and
  /// where `spectrum` or Y does not fit the pairs.
  SpectralPath(const spectral::Eigenpairs<T>& pairs, const msk::ModifiedSpectrum& spectrum,
               const RowBlock<double>& Y);

  /// Leave-one-out rmse over rows and outputs of the inductive predictor f(x) = k_x^T alpha, for
  /// every ridge. alpha = P Y with P = (K + gamma S^-1)^-1 = V diag(r/(g + gamma)) V^T; a rank-one
  /// update removes row and column i. With H = K P, A = (K_g + gamma I)^-1 and B = A Y (so that
  /// Y - H Y = gamma B and H_ii = 1 - gamma A_ii) the error of row i is
  ///   e_i = Y_i - (H Y)_i + H_ii alpha_i/P_ii = alpha_i/P_ii + gamma (B_i - A_ii alpha_i/P_ii),
  /// computed by the second form, which avoids the cancellation of the first. For g = identity
  /// alpha = B and P = A, and e_i = B_i/A_ii is exactly the error of refitting without row i, with
  /// the ridge gamma n/(n - 1) for the K of n - 1 rows. For another g it is an estimate, because S
  /// stays that of all rows. Compared with refitting on four sets, the rmse was off by less than
  /// 1 % where g is continuous at lambda_k and by up to 8 % where it jumps there, for gamma up to
  /// 0.1 trace(K)/n; by up to 1.3 % and 18 % at gamma = trace(K)/n; by more where the targets lie
  /// in the modes next to the jump. Infinite where K_g + gamma I is not positive definite to
  /// working precision. 2 n^2 (c + 1) flops a ridge, twice that for another g. Collective.
  std::vector<double> leave_one_out(std::span<const double> ridges) const;
  /// The errors e for one ridge, n x c by rows as Y, in Y's units: the prediction of row i without
  /// it is Y_i - e_i. Collective. Throws as fit().
  RowBlock<double> leave_one_out_errors(double ridge) const;
  /// n |Y - F|_F^2 / (tr(I - H))^2 / c for every ridge, F = H Y with H = K_g (K_g + gamma I)^-1.
  /// For a modified kernel this is the score of the fixed matrix K_g: its spectrum is not computed
  /// again without a row. Infinite as above. O(n) a ridge, local.
  std::vector<double> gcv(std::span<const double> ridges) const;
  /// Coefficients for every ridge, with the residual of (K_g + gamma I) B = Y (exact for K_g = V
  /// diag(g) V^T; the residuals of the pairs tell how accurate that is), the leave-one-out rmse and
  /// the GCV score. 2 n^2 (4 c + 2) flops a ridge, 2 n^2 (3 c + 1) where g is the identity. Throws
  /// InputError for a ridge that is negative or not finite; RunError, with a ridge that would do,
  /// where K_g + gamma I is not positive definite to working precision. Collective.
  std::vector<Fit> fit(std::span<const double> ridges) const;

  /// Coefficients after training for so long, for each of `flows`: alpha = V diag(r_i (1 -
  /// E_i)/(g_i + gamma)) V^T Y, E as GradientFlow::rest(), and F = V diag(1 - u_i) V^T Y on the
  /// training rows, u_i = (gamma + g_i E_i)/(g_i + gamma). Fit::residual is |F - K alpha|_F/|Y|_F,
  /// both from the pairs. The scores are those of a linear smoother F = H Y: GCV n |Y -
  /// F|_F^2/(sum_i u_i)^2/c, and leave-one-out errors (Y - F)_i/(1 - H_ii), which are exact for
  /// ridge regression with g = identity (t = infinity) and an estimate otherwise. As many flows as
  /// fit into 256 columns share each GEMM; 2 n^2 (4 c + 1) flops each. Throws InputError for a time
  /// that is not positive or, of descent, no multiple of the step, a ridge or step that is
  /// negative, and a step of 2/(g_1 + gamma) or more, by which descent diverges; RunError at t =
  /// infinity as the fit() of ridges. Collective.
  std::vector<Fit> fit(std::span<const GradientFlow> flows) const;

  /// The scores of Fit after training for so long. GCV: O(n) each, local; leave-one-out: 2 n^2 (c +
  /// 1) flops each, collective. Throw as fit().
  std::vector<double> gcv(std::span<const GradientFlow> flows) const;
  std::vector<double> leave_one_out(std::span<const GradientFlow> flows) const;

  enum class Score { leave_one_out, gcv };
  /// Estimated relative rounding error e of the score of every ridge. The eigenpairs are those of
  /// K + E with |E|_2 about eta = eps max(lambda_1, max g). With A = K_g + gamma I and q_i =
  /// 1/(g_i + gamma), to first order in E, |B|_F^2 = |A^-1 Y|_F^2 changes by 2 |<A^-1 B, E B>| <=
  /// 2 eta |A^-1 B|_F |B|_F and tr A^-1 by |tr(A^-2 E)| <= eta sum_i q_i^2, so that GCV has
  ///   e = 2 eta (|A^-1 B|_F / |B|_F + sum_i q_i^2 / sum_i q_i) <= 4 eta / (g_n + gamma).
  /// The leave-one-out rmse, the square root of GCV up to [A^-1]_ii in place of their mean, has
  /// half of that: about eps lambda_1/gamma where K_g is singular. For a g other than the identity,
  /// leave-one-out takes the larger of this and the same with alpha and P in place of B and A^-1.
  /// 1e-9 is added for the rounding of sums and norms. O(n) a ridge, local.
  std::vector<double> rounding(Score score, std::span<const double> ridges) const;

  enum class Edge { none, smallest, largest };
  struct Selection {
    double ridge = 0;
    /// The end of the range searched at which the chosen ridge lies, if any. smallest: also where
    /// all scores from the smallest ridge of the range up to the chosen one are equal to rounding.
    Edge edge = Edge::none;
    double smallest = 0, largest = 0;  ///< that range: the ridges of the grid with finite scores
    Index scored = 0;                  ///< number of ridges whose scores were computed
  };
  /// The ridge of the least score: best_ridge() over ridge_grid() with the errors rounding(). Where
  /// its neighbours are certainly worse, golden section in log G between them follows, to 1e-3;
  /// ties go to the larger ridge there too. Rounding, and with it the number of ranks, therefore
  /// does not choose among ridges whose scores are equal to rounding. Collective. Throws RunError
  /// where no ridge has a finite score.
  Selection select(Score score) const;

  /// |v_i^T Y|^2, summed over outputs, for every i. Local.
  const std::vector<double>& energy() const { return energy_; }

  /// Estimated relative rounding errors of the scores after training for so long. The exponent x_i
  /// t has an error of eta t, eta as above, and modes of g_i + gamma > 1/t stay as they are: 4 eta
  /// min(t, 1/(g_n + gamma)) for GCV, half of it for leave-one-out. Local.
  std::vector<double> rounding(Score score, std::span<const GradientFlow> flows) const;
  struct TimeSelection {
    GradientFlow flow;
    /// The end of the range at which the time lies, if any: smallest is the shortest. largest: also
    /// where longer times have the same score to rounding.
    Edge edge = Edge::none;
    double shortest = 0, longest = 0;  ///< that range
    Index scored = 0;                  ///< number of times whose scores were computed
  };
  /// The time of least score: best_time() over time_grid(like); by GCV among those that leave a
  /// tenth of the modes unfitted, as the score is a mean over these. Collective. Throws as fit(),
  /// and RunError where no time has a finite score.
  TimeSelection select_time(Score score, const GradientFlow& like) const;

 private:
  /// What the scores of R ridges are computed from, at this rank's rows of V: the solutions B (rows
  /// x R c) and the diagonals of A (rows x R); unless g is the identity also alpha = S B and the
  /// diagonals of P.
  struct Systems {
    Matrix<T> B, diagonal, alpha, diagonal_P;
  };
  Systems systems(std::span<const double> ridges) const;
  /// The errors e for the r-th of these, at this rank's rows of V: rows x c.
  Matrix<T> left_out(const Systems& systems, double ridge, Index r) const;
  std::vector<double> rmse_by_output(const Matrix<T>& errors) const;
  std::vector<double> gcv_by_output(MatrixView<const T> B, double ridge) const;
  double residual(const Matrix<T>& B, std::span<const double> ridges, Index r) const;

  void check_flows(std::span<const GradientFlow> flows) const;
  double mean_diagonal() const;  ///< trace(K_g)/n
  /// How many modes are not fitted yet, (sum_i u_i)^2/sum_i u_i^2.
  double unfitted(const GradientFlow& flow) const;
  /// |F - K alpha|_F/|Y|_F for Y - F (`left`) and columns [first, first + c) of alpha.
  double smoother_residual(const Matrix<T>& left, const Matrix<T>& alpha, Index first) const;

  bool admissible(double ridge) const;
  void check_admissible(std::span<const double> ridges) const;
  std::vector<double> scores(Score score, std::span<const double> ridges) const;
  /// Number of ridges that share a GEMM.
  std::size_t panel() const;
  /// This rank's rows of V diag(w_r) V^T Y for the columns w_r of `weights` (this rank's columns of
  /// V x R).
  Matrix<T> combine(const Matrix<T>& weights) const;
  /// V B at this rank's rows of V; V^T B at its columns of V.
  Matrix<T> times(const Matrix<T>& B) const;
  Matrix<T> transposed_times(const Matrix<T>& B) const;
  /// sum_j V_ij^2 w_jr for this rank's rows i.
  Matrix<T> squares(const Matrix<T>& weights) const;
  /// weights(j, r) = weight(i, r) of the global index i of this rank's column j of V.
  Matrix<T> weights(Index ridges,
                    const std::function<double(std::size_t, std::size_t)>& weight) const;
  RowBlock<double> by_rows(MatrixView<const T> rows) const;

  const spectral::Eigenpairs<T>& pairs_;
  msk::ModifiedSpectrum spectrum_;
  std::vector<double> ratio_;
  bool plain_;  ///< g is the identity
  const RowBlock<double>& Y_;
  Matrix<T> rows_;              ///< Y at this rank's rows of V
  Matrix<T> modes_;             ///< V^T Y at this rank's columns of V
  std::vector<double> energy_;  ///< |v_i^T Y|^2 for every i, on all ranks
};

}  // namespace mercer::krr
