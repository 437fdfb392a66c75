#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::krr {

/// K approximated by F F^T, from r columns of K.
struct CholeskySketch {
  Matrix<double> F{};           ///< this rank's rows x r
  std::vector<Index> pivots{};  ///< the r rows whose columns were taken, on every rank
  double trace = 0;             ///< of K
  double rest = 0;              ///< trace(K - F F^T)
};

/// Partial Cholesky factorisation with pivots drawn at random, with probabilities proportional to
/// the diagonal of K - F F^T (Chen, Epperly, Tropp, Webber, "Randomly pivoted Cholesky", arXiv
/// 2207.06503). Pivots are proposed in blocks of at most 64 and thinned by rejection, so that they
/// have the distribution of pivots drawn one after the other (Epperly, Tropp, Webber, "Embrace
/// rejection", arXiv 2410.03969). Up to rounding they depend on the seed and on K alone, not on the
/// number of ranks. K - F F^T is positive semidefinite up to rounding and vanishes in the pivots'
/// rows. Ends with fewer than `rank` columns where the rest of the diagonal is rounding (1e-13 of
/// K's). Collective.
/// Cost: r columns of K and some tens of percent more for rejected proposals; about 1.3 n r^2 flops
/// over the ranks. Memory: F and 64 columns. Sent: r^2 + 64 r numbers.
/// Throws InputError for rank < 0, RunError where K's diagonal is not finite.
CholeskySketch pivoted_cholesky(const gram::Operator& K, Index rank, std::uint64_t seed);

/// M, an approximation of (K + gamma I)^-1 for conjugate gradients: 1/(s_i + gamma) on r
/// orthonormal vectors U, a constant on their complement,
///     M = (1/rest) (I - U U^T) + U diag(1/(s_i + gamma)) U^T.
/// U (this rank's rows x r) and s do not depend on gamma; rest = gamma + a typical eigenvalue of K
/// on the complement of U. Symmetric positive definite. Memory: n r numbers over the ranks.
class LowRankPreconditioner {
 public:
  /// No preconditioning: r = 0.
  LowRankPreconditioner() = default;
  /// From the top k eigenpairs of K (those that S uses): s = lambda, rest = gamma + lambda_(k+1).
  /// `modes` replaces lambda: g(lambda) for a ModifiedOperator; empty: lambda. Negative values
  /// count as 0. Copies the vectors. Local. Throws InputError where `modes` has another length.
  static LowRankPreconditioner from_pairs(const spectral::TopPairs& pairs,
                                          std::span<const double> modes = {});
  /// From pivoted_cholesky(): s and U from the eigenpairs of F^T F, rest = gamma + trace(K - F
  /// F^T)/(n - r) (Diaz, Epperly, Frangella, Tropp, Webber, "Robust, randomized preconditioning for
  /// kernel ridge regression", arXiv 2304.12465). Beside the sketch 8 n r^2 flops over the ranks
  /// and an eigenproblem of order r. Memory: n (r + 128) numbers over the ranks and four times r^2
  /// on each. Collective. Throws as krr::pivoted_cholesky().
  static LowRankPreconditioner pivoted_cholesky(const gram::Operator& K, Index rank,
                                                std::uint64_t seed);
  /// The same from a sketch of a K of n rows, which is destroyed. Collective.
  static LowRankPreconditioner from_sketch(const comm::Communicator& comm, Index n,
                                           CholeskySketch&& sketch);
  /// A preconditioner for D K D, D = diag(keep) of zeros and ones (`keep`: one entry for each local
  /// row): from the eigenpairs of (D U s^(1/2))^T D U s^(1/2). Cost as from_sketch(). Collective.
  LowRankPreconditioner restricted(const comm::Communicator& comm,
                                   std::span<const char> keep) const;

  Index rank() const { return U_.cols(); }
  const std::string& text() const { return text_; }  ///< "eigenpairs, 200", "pivoted Cholesky, 600"
  double captured() const { return captured_; }      ///< share of trace(K) in the pairs or in F F^T
  MatrixView<const double> vectors() const { return U_.view(); }  ///< U
  std::span<const double> values() const { return s_; }           ///< s, descending
  /// gamma + a typical eigenvalue on the complement of U; > 0. Local.
  double rest(double gamma) const;

  /// Z <- M R for this rank's rows of n x c blocks; Z and R do not overlap. Collective: one sum of
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
