#pragma once

#include <span>

#include "mercer/base/index.hpp"

/// Learning curves by theory: the test error of ridge regression on n rows, from the spectrum.
///
/// With the eigenvalues g_i and eigenfunctions phi_i of the kernel's integral operator, and targets
/// sum_i c_i phi_i + noise of variance sigma^2, the error on new rows (noise included) is, up to
/// fluctuations that vanish as n grows,
///     E(n, gamma) = N(kappa)/(1 - d_2/n),
///     N(kappa) = sum_i kappa^2 c_i^2/(g_i + kappa)^2 + sigma^2,
///     kappa = gamma + (kappa/n) d_1,   d_p = sum_i (g_i/(g_i + kappa))^p
/// (Bordelon, Canatar, Pehlevan, arXiv 2002.02561; Simon, Dickens, Karkada, DeWeese, arXiv
/// 2110.03922; gamma is the ridge of K = k/n). It holds where the phi_i(x) behave as independent
/// variables do, for many modes of similar size. All functions are local.
namespace mercer::krr {

/// kappa >= gamma, for `g` >= 0 and gamma >= 0; 0 where gamma = 0 and at most n of the g are not 0.
/// By bisection of gamma/kappa + d_1/n = 1, whose left side decreases in kappa: to rounding, about
/// 60 sums over g. Throws InputError unless n > 0 and gamma >= 0 is finite.
double effective_ridge(std::span<const double> g, double n, double gamma);

/// E(n, gamma), summed over outputs if c_i^2 is; infinite where d_2 >= n. `coefficients`: c_i^2, as
/// many as g. Throws as above, and InputError where the sizes differ.
double expected_error(std::span<const double> g, std::span<const double> coefficients, double noise,
                      double n, double gamma);

/// E(n, gamma) for the n rows of a learning curve, from the matrix K of more rows.
struct CurvePoint {
  Index n = 0;
  double ridge = 0;           ///< gamma
  double kappa = 0;           ///< the effective ridge
  double sample_ridge = 0;    ///< gamma_0, at which all n_0 rows have the same kappa
  double freedom = 0;         ///< d_1, the degrees of freedom of the fit to n rows
  double freedom_square = 0;  ///< d_2
  /// E(n, gamma)/E(n_0, gamma_0): what carries an error of all rows at gamma_0 over to n rows.
  double factor = 1;
  double error = 0;           ///< E(n, gamma), from the GCV score at gamma_0
  double bias_and_noise = 0;  ///< N(kappa)
};
/// The same from a sample of n_0 >= n rows: `g` are the eigenvalues of its K, or of its K_g, all
/// n_0 of them, and `energy` is |v_i^T Y|^2. These are not the operator's g_i and n_0 c_i^2: near
/// i = n_0 they are far from them, and the energies hold the noise. The equations are therefore
/// read backwards, which needs neither the modes after n_0 nor sigma^2. For n_0 rows with a ridge
/// gamma_0 the sample gives (Wei, Hu, Steinhardt, arXiv 2203.06176)
///     1/kappa = (1/n_0) sum_i 1/(g_i + gamma_0),   d_1 = n_0 (1 - gamma_0/kappa),
///     1 - d_2/n_0 = 1/kappa',   kappa' = dkappa/dgamma_0 = (kappa^2/n_0) sum_i 1/(g_i + gamma_0)^2
/// and, by generalised cross-validation, the error
///     E(n_0, gamma_0) = (kappa^2/n_0) sum_i energy_i/(g_i + gamma_0)^2.
/// d_1, d_2 and N depend on n and gamma through kappa alone. The gamma_0 with
///     kappa = gamma + (n_0/n) (kappa - gamma_0)
/// has those of n rows: N = E(n_0, gamma_0)/kappa', and E(n, gamma) = N/(1 - d_2/n). At n = n_0,
/// gamma_0 = gamma and the error is the GCV score. Eigenvalues below 0, of rounding, count as 0,
/// and gamma_0 is at least eps n_0 g_1. By bisection, at most 200 sums over g. Throws InputError
/// unless 0 < n <= n_0 and gamma >= 0 is finite, where the sizes differ, and where all eigenvalues
/// are 0.
CurvePoint predicted_error(std::span<const double> g, std::span<const double> energy, Index n,
                           double gamma);

}  // namespace mercer::krr
