#pragma once

#include <span>

#include "steps.hpp"

namespace mercer::kernel {

/// tanh, softplus and sigmoid have no closed form. Their dual activation by the Hermite expansion
/// (Daniely, Frostig and Singer 2016): E[rho(s_1 u) rho(s_2 v)] = sum_n h_n(s_1) h_n(s_2) c^n with
/// h_n(s) = E[rho(s g) He_n(g)]/sqrt(n!), and its derivative in c. All but a constant (sigmoid:
/// 1/2) or a linear part (softplus: x/2) has one parity, which halves the terms.
struct HermiteParts {
  double constant = 0, linear = 0;
  int parity = 1;
};
HermiteParts hermite_parts(const arch::Activation& rho);

/// The features h_n(s)/norm of n = parity, parity + 2, ... for rows with deviations s and
/// norm = sqrt(E[rho(s g)^2]), until they drop below rounding or kMostTerms. h_n by the trapezoidal
/// rule, as a GEMM of rho(s g_j) with normalised Hermite functions; about 2 (terms x nodes) flops
/// for every distinct s. slope = s^2 E[rho'(s g)^2]/norm^2 measures what the slope lacks
/// (Parseval).
Features hermite_features(const arch::Activation& rho, std::span<const double> s,
                          std::span<const double> norm, std::span<const double> slope);

/// Terms that two sets of rows need together: both tails in the mean below 1e-13, by
/// Cauchy-Schwarz.
Index terms_needed(const Features& x, const Features& z);

inline constexpr Index kMostTerms = 6144;

}  // namespace mercer::kernel
