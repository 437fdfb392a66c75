#pragma once

#include <limits>

namespace mercer::krr {

/// How long a kernel machine is trained by gradient descent before it predicts.
///
/// Gradient flow d f/dt = -K (f - Y) on the training rows, from f = 0, fits mode i of K to the part
/// 1 - e^(-lambda_i t) ([B] 2.2, arXiv 2201.06232; [I] sec. 2): its coefficients are alpha_t = V
/// diag((1 - e^(-lambda_i t))/lambda_i) V^T Y. T steps of gradient descent fit 1 - (1 - eta n
/// lambda_i)^T ([G] (13), arXiv 2307.14531), t = eta n T. At t = infinity both are ridge regression.
/// The loss is (1/(2 n)) |f - Y|_F^2; that of a mean over n rows and c outputs takes c times as
/// long.
struct GradientFlow {
  double time = std::numeric_limits<double>::infinity();  ///< t > 0
  double ridge = 0;  ///< gamma: of the loss (1/(2 n)) |f - Y|^2 + (gamma/2) alpha^T (K/n) alpha
  double step = 0;   ///< eta n of gradient descent; 0: gradient flow

  /// The share of a mode that is not fitted yet, E = e^(-x t) or (1 - step x)^T, for x = g + gamma.
  /// Negative x (of rounding) counts as 0. Local.
  double rest(double x) const;
  /// (1 - E)/x, without cancellation; t for x = 0. Local.
  double filter(double x) const;
  /// 1 - g filter(g + gamma) = (gamma + g E)/(g + gamma): what a mode of eigenvalue g lacks on the
  /// training rows. Local.
  double residual(double g) const;
  /// d residual/d g. Local.
  double residual_slope(double g) const;
};

}  // namespace mercer::krr
