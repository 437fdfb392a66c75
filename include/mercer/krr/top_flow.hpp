#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "mercer/krr/fit.hpp"
#include "mercer/spectral/krylov.hpp"

/// Training for a limited time where only the top k eigenpairs of K are known.
namespace mercer::krr {

/// What takes the place of the modes outside the known pairs, whose eigenvalues lambda are only
/// known to be in [0, largest]. Training for so long multiplies them by phi(lambda + gamma), phi =
/// GradientFlow::filter(), a decreasing function; the constant c = phi(largest + gamma) stands for
/// it. With Y' = Y - V V^T Y, what the training rows fit is off by at most `fitted` |Y'|, and a
/// prediction by at most `predicted` (k(z, z)/n)^(1/2) |Y'| (Cauchy-Schwarz in the space of k).
struct RestOfModes {
  double filter = 0;     ///< c
  double fitted = 0;     ///< >= lambda (phi(lambda + gamma) - c) for all these lambda; at most 1
  double predicted = 0;  ///< >= lambda^(1/2) (phi(lambda + gamma) - c); may be infinite at t = inf
};
/// Both bounds hold and are within 3 % of the largest values. Local, pure. Throws InputError for a
/// step of more than 1/(largest + gamma), with which phi does not decrease.
RestOfModes rest_of_modes(const GradientFlow& flow, double largest);

/// Coefficients alpha_t = V diag(r_i phi(g_i + gamma)) V^T Y + c (I - V V^T) Y, i.e. as
/// SpectralPath::fit() within the pairs, and c of RestOfModes outside, where S is the identity. F =
/// K alpha_t on the training rows takes one product of K with c columns, for any number of times.
class TopFlow {
 public:
  /// K times n x c by rows.
  using Product = std::function<RowBlock<double>(const RowBlock<double>&)>;
  /// `diagonal`: K_ii of this rank's rows, for leave-one-out errors; none on all ranks, or on none.
  /// Borrows `pairs` and Y. 8 n k c flops and one product. Collective. Throws InputError where
  /// shapes do not fit on some rank.
  TopFlow(const spectral::TopPairs& pairs, const msk::ModifiedSpectrum& spectrum,
          const RowBlock<double>& Y, const Product& K, std::optional<std::vector<double>> diagonal);

  /// With Fit::rest_fitted and rest_predicted, which take the pairs as exact; Fit::residual bounds |F - K alpha|_F/|Y|_F by the
  /// residuals of the pairs. Scores are those of the linear smoother Y -> F that is applied. 2 n k
  /// (2 c + 1) flops a time, less without leave-one-out errors. Collective. Throws InputError as SpectralPath::fit() and
  /// rest_of_modes(); RunError at t = infinity where an eigenvalue plus gamma is no larger than its
  /// error.
  std::vector<Fit> fit(std::span<const GradientFlow> flows) const;

  /// Whether leave-one-out errors are computed: the diagonal was given.
  bool leaves_out() const { return diagonal_.has_value(); }
  /// Times to choose among: of time_grid(), those up to 10/lambda_k, beyond which the rest decides;
  /// at least one. Local.
  std::vector<GradientFlow> times(const GradientFlow& like) const;

 private:
  Fit fit(const GradientFlow& flow) const;
  void require_definite(double ridge) const;
  void score(const GradientFlow& flow, double filter, Fit& fit) const;

  const spectral::TopPairs& pairs_;
  msk::ModifiedSpectrum spectrum_;
  std::vector<double> ratio_;
  const RowBlock<double>& Y_;
  Matrix<double> modes_;                  ///< (V^T Y)^T, c x k, on all ranks
  RowBlock<double> outside_, K_outside_;  ///< Y', K Y'
  std::optional<std::vector<double>> diagonal_;
  double norm_ = 0, outside_norm_ = 0;  ///< |Y|_F, |Y'|_F
};

}  // namespace mercer::krr
