#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "krylov_basis.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::spectral {

/// One run of thick-restart block Lanczos: the steps of krylov(), in its words. All members are
/// collective, and every decision is the same on all ranks.
class KrylovRun {
 public:
  KrylovRun(const gram::Operator& K, const KrylovOptions& options, KrylovSizes sizes);
  KrylovRun(const KrylovRun&) = delete;
  KrylovRun& operator=(const KrylovRun&) = delete;

  /// K times the next block, and the block after it.
  void multiply();
  /// Whether the Ritz pairs are to be looked at now.
  bool check_due() const;
  /// The Ritz pairs of T and their residuals.
  void rayleigh_ritz();
  bool converged() const { return state_.converged >= needed_ && located_; }
  /// Whether eigenvalues may have copies that this run's block was too narrow to meet.
  bool may_lack_copies() const;
  /// Locks what was found and goes on with random vectors beside it.
  void start_beside();
  /// Whether the basis has no room for another block.
  bool full() const;
  /// Keeps the wanted Ritz vectors and some more.
  void restart();
  /// Moves the vectors of the target() largest values to the front and returns the values, both in
  /// descending order. Ends the run.
  std::vector<double> collect();

  const KrylovState& state() const { return state_; }
  Index target() const { return target_; }  ///< pairs that have to converge: k + 1, at most n
  double scale() const;                     ///< lambda_1, of the last Rayleigh-Ritz step
  MatrixView<double> vectors(Index count) const { return basis_.columns(0, count); }
  /// |K v_i - lambda_i v_i| of the first columns, estimated with the probe vectors.
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
  // Of the last Rayleigh-Ritz step: all active pairs, descending; the vectors, ascending, on rank
  // 0.
  std::vector<double> values_, residuals_;
  Matrix<double> ritz_;
  Index needed_ = 0;      ///< active pairs that have to converge
  bool limited_ = false;  ///< fewer than there should be, for lack of room
  bool located_ = true;   ///< the pair beyond them, after a warm start
};

}  // namespace mercer::spectral
