#pragma once

#include <cstdint>
#include <vector>

#include "mercer/gram/operator.hpp"

namespace mercer::spectral {

/// The largest eigenvalue of the symmetric tridiagonal matrix with diagonal a (at least one number)
/// and off-diagonal b (one fewer), by bisection to rounding. Local.
double largest_of_tridiagonal(const std::vector<double>& a, const std::vector<double>& b);

struct NormOptions {
  double tolerance = 1e-6;  ///< relative change over the last eight products at which it ends
  int most = 300;           ///< products
  std::uint64_t seed = 0;   ///< of the random start
};

/// |A|_2 = max |lambda_i| of a symmetric A, definite or not, from below: the largest Ritz value in
/// modulus of Lanczos' recursion from a random vector, without reorthogonalisation (which only adds
/// copies of Ritz values that are there). For a definite A the relative error after m products is
/// of order (ln(n)/m)^2 on average (Kuczynski, Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992)),
/// and far less where the largest eigenvalue stands apart. One product and two sums over the ranks a
/// step; memory: three vectors. 0 for A = 0; NaN where a product is not finite. Collective.
double operator_norm(const gram::Operator& A, const NormOptions& options = {});

}  // namespace mercer::spectral
