#pragma once

#include <functional>
#include <span>
#include <vector>

#include "mercer/features/normal_equations.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"

/// Ridge regression with features: f(x) = beta^T psi(x).
namespace mercer::features {

/// Coefficients for one ridge, on the scale of K = k/n.
struct FeatureFit {
  double ridge = 0;
  Matrix<double> beta{};  ///< s x c, on every rank
  /// |(A + gamma I) beta - B|_F/|B|_F, estimated with 16 probes; of a FeaturePath the largest
  /// residual of the pairs, |A u_j - lambda_j u_j|/lambda_1.
  double residual = 0;
  double freedom = -1;  ///< tr H, the statistical dimension of Psi Psi^T; -1: not known
  double gcv = -1;      ///< n |Y - F|_F^2/tr(I - H)^2/c; -1: not known
  std::vector<double> gcv_by_output{};
};

/// beta = (A + gamma I)^-1 B by Cholesky; A is destroyed. s^3/3 + 2 s^2 (c + 16) flops. Collective.
/// Throws InputError for a ridge that is not positive and finite; RunError, with a ridge that would
/// do, where A + gamma I is not positive definite to working precision.
FeatureFit fit_cholesky(NormalEquations&& system, double ridge);

/// The eigenpairs (lambda_j, u_j) of A = Psi^T Psi, descending, by a direct solver: the lambda_j >
/// 0 are the eigenvalues of Psi Psi^T, whose eigenvectors are v_j = Psi u_j/lambda_j^(1/2). A is
/// destroyed. Collective. Throws as spectral::eigenpairs().
spectral::Eigenpairs<double> eigenpairs(NormalEquations& system,
                                        const spectral::Options& options = {});

/// Fits for any number of ridges from all s pairs, with K replaced by Psi Psi^T and, for a Modified
/// Spectrum Kernel, g on its eigenvalues: with r = g/lambda,
///
///     beta = U diag(r/(g + gamma)) U^T B,   tr H = sum_j g_j/(g_j + gamma).
///
/// The n - s other eigenvalues are 0 and stay so.
class FeaturePath {
 public:
  /// Borrows `pairs`. Collective: U^T B, 2 s^2 c flops. Throws InputError unless all s pairs are
  /// there.
  FeaturePath(const spectral::Eigenpairs<double>& pairs, const msk::ModifiedSpectrum& spectrum,
              const NormalEquations& system);

  Index n() const { return n_; }
  const spectral::Eigenpairs<double>& pairs() const { return pairs_; }
  /// The score of each ridge, from the sums that the system holds. Local.
  std::vector<double> gcv(std::span<const double> ridges) const;
  /// Collective. 2 s^2 c flops a ridge.
  std::vector<FeatureFit> fit(std::span<const double> ridges) const;

  /// Of mode j at the ridge gamma: w = r/(g + gamma), so that beta = U diag(w) U^T B, and q = (r +
  /// gamma (1 - r)/lambda)/(g + gamma), which is w for plain ridge regression. Local.
  struct Weights {
    double w = 0, q = 0;
  };
  Weights weights(Index j, double ridge) const;
  /// U diag(weight_j) U^T B, s x c on every rank. 2 s^2 c flops. Collective.
  Matrix<double> combine(const std::function<double(Index)>& weight) const;
  /// Throws as fit(). Local.
  void require_definite(double ridge) const;

 private:
  std::vector<double> gcv_by_output(double ridge) const;

  const spectral::Eigenpairs<double>& pairs_;
  std::vector<double> lambda_, g_, ratio_;
  Matrix<double> Z_;  ///< U^T B, s x c
  std::vector<double> y_square_;
  Index n_;
};

}  // namespace mercer::features
