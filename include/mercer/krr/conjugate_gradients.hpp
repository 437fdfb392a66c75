#pragma once

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/krr/fit.hpp"
#include "mercer/krr/low_rank.hpp"
#include "mercer/krr/modified_operator.hpp"

namespace mercer::krr {

/// The state of a run of conjugate gradients, for checkpoints: all that the next iteration needs.
/// The residuals B - (A + gamma I) X are kept as Q S.
struct CgState {
  Index iterations = 0;
  Index replacements = 0;
  Matrix<double> X{};             ///< this rank's rows x c
  Matrix<double> Q{};             ///< this rank's rows x r, r <= c, Q^T M Q = I
  Matrix<double> P{};             ///< this rank's rows x r': directions
  Matrix<double> S{};             ///< r x c, on every rank
  std::vector<double> history{};  ///< as in CgResult
  /// The largest relative residual when a measurement last contradicted the recurrence, which was
  /// below the tolerance; infinite: never.
  double refused = std::numeric_limits<double>::infinity();

  CgState copy() const;
};

struct CgOptions {
  double tolerance = 1e-8;      ///< |b_j - (A + gamma I) x_j| <= tolerance |b_j|, every column
  Index max_iterations = 1000;  ///< those before `resume` included
  /// No progress: in the last `patience` iterations the largest residual never fell below 0.9 times
  /// its least value before them.
  Index patience = 300;
  /// Called after every iteration on all ranks with (iterations so far, largest relative residual
  /// by the recurrence). Must not communicate.
  std::function<void(Index, double)> progress = {};
  /// Called after every iteration on all ranks; true (on all): stop there. A run can be resumed
  /// from the state, which belongs to the run: copy what is to be kept. Called once more, with the
  /// state before it, where a product is given up (gram::Operator::apply); the run stops there
  /// whatever it returns.
  std::function<bool(const CgState&)> checkpoint = {};
  /// State to continue from: the same bits as an undisturbed run on the same number of ranks.
  const CgState* resume = nullptr;
  MatrixView<const double> start{};  ///< first guess of X, this rank's rows; no columns: zero
};

struct CgResult {
  Matrix<double> X{};  ///< this rank's rows x c
  Index iterations = 0;
  Index products = 0;      ///< of A with one vector, in this call
  Index replacements = 0;  ///< of the recurrence's residuals by measured ones
  /// |b_j - (A + gamma I) x_j| / |b_j| of every column, measured by a product at the end (by the
  /// recurrence where the run was stopped); 0 where b_j = 0.
  std::vector<double> residuals{};
  std::vector<double> history{};  ///< the largest one after every iteration, by the recurrence
  bool converged = false;
  bool finished = true;      ///< false: stopped by the checkpoint function
  std::string stagnation{};  ///< why it did not converge and what to change; else empty
};

/// Solves (A + gamma I) X = B for all c columns at once by preconditioned block conjugate
/// gradients (O'Leary, "The block conjugate gradient algorithm", Lin. Alg. Appl. 1980) with the
/// block of residuals kept as Q S, Q orthonormal with respect to M (Dubrulle, "Retooling the method
/// of block conjugate gradients", ETNA 2001; Tichy, Meurant, Simonova, arXiv 2502.16998): columns
/// that are zero, equal, linearly dependent or converge early make Q narrower and break nothing.
///
/// B: this rank's rows of n x c. An iteration takes one product of A and one of M, of rank r, with
/// at most c vectors, four sums over the ranks (together about (r + 5 c) c numbers), 20 n c^2 flops
/// over the ranks and two eigenproblems of order c. Memory: 7 n c numbers over the ranks, up to
/// 12 n c where measured residuals replace the recurrence's. Every 50 iterations, and at the end,
/// residuals are measured by a product; where the recurrence has drifted they replace its own (van
/// der Vorst, Ye, "Residual replacement strategies", SIAM J. Sci. Comput. 2000). Deterministic: the
/// same bits for the same input on the same number of ranks. Collective.
///
/// Where it does not converge, X is what was reached and `stagnation` says why and what would help.
/// Throws InputError for a bad ridge, tolerance or shape and for a B that is not finite; RunError
/// where a direction shows that A + gamma I is not positive definite (with a ridge that would do,
/// estimated by at most 20 Lanczos steps), or where a product is not finite; Error with the code
/// `interrupted` where a product is given up and there is no checkpoint function.
CgResult conjugate_gradients(const gram::Operator& A, double gamma, const LowRankPreconditioner& M,
                             MatrixView<const double> B, const CgOptions& options = {});

struct CgFit {
  Fit fit;            ///< .residual is measured, not estimated by probes
  CgResult solution;  ///< .X: the B of (K + gamma I) B = Y, or of (K_g + gamma I) B = Y
};
/// Kernel ridge regression by conjugate gradients: alpha = (K + gamma I)^-1 Y, for Y n x c by rows
/// over K's ranks. Cost and errors as conjugate_gradients(). Collective.
CgFit fit_by_cg(const gram::Operator& K, const LowRankPreconditioner& M, const RowBlock<double>& Y,
                double ridge, const CgOptions& options = {});
/// Inductive MSK: alpha = S (K_g + gamma I)^-1 Y; M preconditions K_g (from_pairs() with g as
/// modes). Otherwise as fit_by_cg(). Collective.
CgFit fit_modified_by_cg(const ModifiedOperator& K_g, const LowRankPreconditioner& M,
                         const RowBlock<double>& Y, double ridge, const CgOptions& options = {});

}  // namespace mercer::krr
