#pragma once

#include <cstdint>
#include <span>

#include "mercer/net/network.hpp"
#include "mercer/train/row_set.hpp"

namespace mercer::train {

struct Bound {
  double lambda_max = 0;  ///< of J J^T S, from below
  int products = 0;       ///< with the operator
  double change = 0;      ///< relative, by the last product
};

/// lambda_max(J J^T S), J = the Jacobian of the rows at w, by Lanczos' recursion in the inner
/// product of S, in which the operator is symmetric (power iteration needs several times the
/// products where S makes the top of the spectrum flat). Never above lambda_max but for rounding.
/// Stops when it changes by less than a tenth of `tolerance`, twice. Each product: one gradient,
/// one directional derivative, one all-reduce of p and one of k c + 1 numbers. A start that is
/// random and the same for every number of ranks. Allocates p + 3 c m. Throws RunError where it is
/// not finite. Collective.
template <class T>
Bound largest_eigenvalue(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, std::uint64_t seed,
                         double tolerance = 1e-3, int most = 100);

}  // namespace mercer::train
