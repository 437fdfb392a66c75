#pragma once

#include <span>

#include "steps.hpp"

namespace mercer::kernel {

/// The dual activations of tanh, softplus and sigmoid have no closed form. They are computed by the
/// Hermite expansion (Daniely, Frostig and Singer 2016), E[rho(s_1 u) rho(s_2 v)] =
/// sum_n h_n(s_1) h_n(s_2) c^n with h_n(s) = E[rho(s g) He_n(g)]/sqrt(n!) and c the correlation of
/// u and v; so is the derivative in c. rho less a constant (sigmoid: 1/2) or a linear part
/// (softplus: x/2) is odd or even: only terms of that parity remain.
struct HermiteParts {
  double constant = 0, linear = 0;
  int parity = 1;
};
HermiteParts hermite_parts(const arch::Activation& rho);

/// The features h_n(s)/norm of n = parity, parity + 2, ... for rows with deviations s and
/// norm = sqrt(E[rho(s g)^2]), until they drop below rounding, at most kMostTerms. h_n by the
/// trapezoidal rule, as a GEMM of rho(s g_j) with normalised Hermite functions: about 2 terms nodes
/// flops for every distinct s. slope = s^2 E[rho'(s g)^2]/norm^2 gives the error of the truncated
/// derivative by Parseval's identity.
Features hermite_features(const arch::Activation& rho, std::span<const double> s,
                          std::span<const double> norm, std::span<const double> slope);

/// Terms that pairs of rows from x and from z need: those after which the geometric mean of the two
/// tails, which by Cauchy-Schwarz bounds the error, is at most 1e-13.
Index terms_needed(const Features& x, const Features& z);

inline constexpr Index kMostTerms = 6144;

}  // namespace mercer::kernel
