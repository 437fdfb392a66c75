#pragma once

#include "blocks.hpp"
#include "mercer/gram/operator.hpp"
#include "mercer/krr/low_rank.hpp"

namespace mercer::krr {

/// R = Q S with Q^T M Q = I: overwrites R and Z = M R by Q and M Q, and returns S. Columns of R
/// that depend on the others to working precision make Q narrower. Collective.
Matrix<double> orthonormalise(const comm::Communicator& comm, const LowRankPreconditioner& M,
                              double gamma, Matrix<double>& R, Matrix<double>& Z);

/// Extreme Ritz values theta of A after at most 20 Lanczos steps from u (n x 1) with full
/// reorthogonalisation, and |A v - theta v| of the smallest. Collective. Memory: 20 vectors.
struct Ritz {
  double smallest = 0, smallest_residual = 0, largest = 0;
};
Ritz extreme_ritz(const gram::Operator& A, View u);

}  // namespace mercer::krr
