#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "krylov_basis.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::spectral {

/// One run of thick-restart block Lanczos: the steps of krylov(). Collective are the constructor,
/// multiply(), rayleigh_ritz(), start_beside(), restart(), collect() and probe_residuals(). The
/// other members are local and give the same answer on all ranks.
class KrylovRun {
 public:
  KrylovRun(const gram::Operator& K, const KrylovOptions& options, KrylovSizes sizes);
  KrylovRun(const KrylovRun&) = delete;
  KrylovRun& operator=(const KrylovRun&) = delete;

  /// Multiplies K by the next block and makes the product a new block of the basis.
  void multiply();
  /// Whether a Rayleigh-Ritz step is due.
  bool check_due() const;
  /// Computes the Ritz pairs of T and their residuals, and schedules the next step.
  void rayleigh_ritz();
  bool converged() const { return state_.converged >= needed_ && located_; }
  /// Whether eigenvalues may have more copies than this run's block was wide enough to find.
  bool may_lack_copies() const;
  /// Locks the pairs found and starts a random block orthogonal to them.
  void start_beside();
  /// Whether the basis has no room for another block.
  bool full() const;
  /// Thick restart: keeps the wanted Ritz vectors and some more, and locks those that converged.
  void restart();
  /// Moves the Ritz vectors of the target() largest values to the front of the basis and returns
  /// the values, both in descending order. Nothing may be multiplied afterwards.
  std::vector<double> collect();

  const KrylovState& state() const { return state_; }
  Index target() const { return target_; }  ///< pairs that have to converge: k + 1, at most n
  double scale() const;                     ///< lambda_1 at the last Rayleigh-Ritz step
  MatrixView<double> vectors(Index count) const { return basis_.columns(0, count); }
  /// |K v_i - lambda_i v_i| of the first values.size() columns, estimated with the probe vectors.
  std::vector<double> probe_residuals(std::span<const double> values) const;
  /// One line on where the run stands.
  std::string text() const;

 private:
  void first_block();
  Index start_columns() const;
  void adopt_start(Index count);
  Index waiting() const { return state_.columns - state_.multiplied; }
  Index next_width() const { return std::min(sizes_.block, waiting()); }
  void order_waiting();
  void apply(MatrixView<const double> X, MatrixView<double> Y);
  Matrix<double> probes() const;
  Index active() const { return state_.multiplied - state_.locked; }
  double window() const { return 10 * options_.tolerance * scale(); }
  double value_of(Index pick) const;
  void set_needed();
  void schedule(double worst);
  std::vector<double> values_of_this_run() const;
  std::vector<Index> best(Index count) const;
  Matrix<double> combination(Index first, const std::vector<Index>& picks) const;
  void reset_projection(const std::vector<double>& values, const Matrix<double>& coupling);

  const gram::Operator& K_;
  const KrylovOptions& options_;
  KrylovSizes sizes_;
  Index n_, target_;
  KrylovState state_;
  Basis basis_;
  // Of the last Rayleigh-Ritz step: all active pairs. Values and residuals are descending, the
  // vectors ascending and on rank 0 only.
  std::vector<double> values_, residuals_;
  Matrix<double> ritz_;
  Index needed_ = 0;      ///< active pairs that have to converge
  bool limited_ = false;  ///< needed_ is too small, for lack of room in the basis
  bool located_ = true;   ///< false: after a warm start, the pair beyond them is not located yet
};

}  // namespace mercer::spectral
