#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::krr {

/// K ~ F F^T from r columns of K.
struct CholeskySketch {
  Matrix<double> F{};           ///< this rank's rows x r
  std::vector<Index> pivots{};  ///< the r rows whose columns were taken, on every rank
  double trace = 0;             ///< of K
  double rest = 0;              ///< trace(K - F F^T)
};

/// Partial Cholesky factorisation with pivots drawn at random from the diagonal of what is left
/// (Chen, Epperly, Tropp, Webber, "Randomly pivoted Cholesky", arXiv 2207.06503), in blocks:
/// proposals of a block are thinned by rejection, so that the pivots have the distribution of one
/// drawn after the other (Epperly, Tropp, Webber, "Embrace rejection", arXiv 2410.03969). Pivots
/// depend on the seed and on K alone, for every number of ranks, up to rounding. K - F F^T is
/// positive semidefinite up to rounding and vanishes in the pivots' rows. Stops before `rank` where
/// the rest of the diagonal is rounding (1e-13 of K's). Collective.
/// Cost: columns of K for all proposals (r, and those that are rejected: some tens of percent), and
/// n r^2 flops a rank's share; memory: F and 64 columns; sent: r^2 + 64 r numbers.
/// Throws InputError for rank < 0, RunError where K's diagonal is not finite.
CholeskySketch pivoted_cholesky(const gram::Operator& K, Index rank, std::uint64_t seed);

/// M ~ (K + gamma I)^-1 for conjugate gradients: exact on r orthonormal vectors U, a constant
/// beside them,
///     M = (1/rest) (I - U U^T) + U diag(1/(s_i + gamma)) U^T.
/// U (this rank's rows x r) and s do not depend on gamma; rest = gamma + what is typical of the
/// spectrum beside U. Symmetric positive definite. Memory: n r numbers over the ranks.
class LowRankPreconditioner {
 public:
  /// No preconditioning: r = 0.
  LowRankPreconditioner() = default;
  /// From the top k eigenpairs of K (those that S uses): s = lambda, rest = gamma + lambda_(k+1).
  /// `modes`: what stands for lambda, g(lambda) for a ModifiedOperator; empty: lambda. Copies the
  /// vectors. Local. Throws InputError when `modes` has another length.
  static LowRankPreconditioner from_pairs(const spectral::TopPairs& pairs,
                                          std::span<const double> modes = {});
  /// From pivoted_cholesky(): s and U from the eigenpairs of F^T F, rest = gamma + trace(K - F
  /// F^T)/(n - r) (Diaz, Epperly, Frangella, Tropp, Webber, "Robust, randomized preconditioning for
  /// kernel ridge regression", arXiv 2304.12465). 6 n r^2 flops over the ranks, and about 10 r^3 on
  /// each; memory: n (r + 128) numbers over the ranks and four times r^2 on each. Collective.
  /// Throws as pivoted_cholesky().
  static LowRankPreconditioner pivoted_cholesky(const gram::Operator& K, Index rank,
                                                std::uint64_t seed);
  static LowRankPreconditioner from_sketch(const comm::Communicator& comm, Index n,
                                           CholeskySketch&& sketch);
  /// The same for D K D, D = diag(keep) of zeros and ones (`keep`: one for each local row): from
  /// the eigenpairs of (D U s^(1/2))^T D U s^(1/2). Costs as from_sketch(). Collective.
  LowRankPreconditioner restricted(const comm::Communicator& comm,
                                   std::span<const char> keep) const;

  Index rank() const { return U_.cols(); }
  const std::string& text() const { return text_; }  ///< "eigenpairs, 200", "pivoted Cholesky, 600"
  double captured() const { return captured_; }      ///< sum s / trace(K)
  MatrixView<const double> vectors() const { return U_.view(); }  ///< U
  std::span<const double> values() const { return s_; }           ///< s, descending
  /// gamma + what is typical beside U; > 0.
  double rest(double gamma) const;

  /// Z <- M R for this rank's rows of n x c blocks, which do not overlap. Collective: one sum of
  /// r c numbers; 4 n r c flops over the ranks.
  void apply(const comm::Communicator& comm, double gamma, MatrixView<const double> R,
             MatrixView<double> Z) const;

 private:
  static LowRankPreconditioner from_factor(const comm::Communicator& comm, Matrix<double>&& F);
  Matrix<double> U_;
  std::vector<double> s_;
  double beside_ = 0;
  double captured_ = 0;
  std::string text_ = "none";
};

}  // namespace mercer::krr
