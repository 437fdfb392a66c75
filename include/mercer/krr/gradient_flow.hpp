#pragma once

#include <limits>

namespace mercer::krr {

/// How long a kernel machine is trained before it predicts: by gradient flow, or by steps of
/// gradient descent.
///
/// Gradient flow d f/dt = -K (f - Y) on the training rows, from f = 0, fits the part 1 -
/// e^(-lambda_i t) of mode i of K ([B] 2.2, [I] sec. 2): its coefficients are alpha_t = V diag((1 -
/// e^(-lambda_i t))/lambda_i) V^T Y. T steps of gradient descent fit 1 - (1 - eta n lambda_i)^T
/// ([G] (13), arXiv 2307.14531), with t = eta n T. At t = infinity both are ridge regression. The
/// loss is (1/(2 n)) |f - Y|_F^2, with a ridge plus (gamma/2) |w|^2; that of a mean over rows and c
/// outputs takes c times as long. All members are local, O(1), and throw nothing.
struct GradientFlow {
  double time = std::numeric_limits<double>::infinity();  ///< t > 0; of descent a multiple of step
  double ridge = 0;                                       ///< gamma, on the scale of K = k/n
  double step = 0;  ///< eta n of gradient descent; 0: gradient flow

  double steps() const;  ///< T = t/step to the nearest whole number; 0 for gradient flow
  /// The share of a mode that is not fitted yet, E = e^(-x t) or (1 - step x)^T, for x = g + gamma.
  /// Negative x (of rounding) counts as 0.
  double rest(double x) const;
  /// (1 - E)/x, without cancellation; t for x <= 0, infinite there for t = infinity.
  double filter(double x) const;
  /// 1 - g filter(g + gamma) = (gamma + g E)/(g + gamma): what a mode of eigenvalue g lacks on the
  /// training rows; 1 where g + gamma <= 0.
  double residual(double g) const;
};

/// Throws InputError for a time that is not positive or, of descent, no multiple of the step; for a
/// ridge or a step that is negative or not finite; and for a step of 2/(largest + ridge) or more, by
/// which descent diverges. Local.
void check_flow(const GradientFlow& flow, double largest);

}  // namespace mercer::krr
