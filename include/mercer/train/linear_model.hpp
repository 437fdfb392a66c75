#pragma once

#include "mercer/train/descend.hpp"

namespace mercer::train {

struct LinearSteps {
  Index steps = 0;       ///< taken
  bool reached = false;  ///< false: not within options.steps, or the rate is beyond its limit
  int products = 0;      ///< with J J^T S
};

/// The full-batch steps at `rate` that the network linearised at w, whose residual is
/// r_t = (I - rate J J^T S)^t r_0 ([G] (13), here for any S and any number of outputs), takes to
/// options.tolerance or options.loss, at most options.steps: what descend() would stop after.
///
/// By the Lanczos recursion from r_0 in the inner product of S: after m products
/// |r_t|^2 = y.(G y), y = |r_0|_S (I - rate T)^t e_1, with T its tridiagonal and G = Q^T Q the
/// Gram matrix of its vectors, which follows from V^T Q. Exact for t < m; for larger t the error is
/// at most 4 |r_0|_S s^(-1/2) exp(-m^2/(2t)), s the least eigenvalue of S and the rate within its
/// limit (polynomials of degree m for x^t: Newman, Rivlin, J. Approx. Theory 16 (1976) 295-303; of
/// Lanczos: Druskin, Knizhnerman, USSR Comput. Math. 29 (1989) 112-121). Products are added until
/// that is a thousandth of the target: about 5 t^(1/2), where taking the steps would take t.
///
/// S = rows.S has to be positive definite. Costs as largest_eigenvalue(), and m^2 t flops on every
/// rank with S. Memory: largest_eigenvalue()'s, and m (k c + m) numbers. Throws RunError as that.
/// Collective.
template <class T>
LinearSteps linear_steps(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, double rate,
                         const Options& options);

}  // namespace mercer::train
