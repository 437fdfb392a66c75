#pragma once

#include <cstdint>
#include <span>

#include "mercer/net/network.hpp"
#include "mercer/train/row_set.hpp"

namespace mercer::train {

struct Bound {
  double lambda_max = 0;  ///< of J J^T S, from below
  int products = 0;       ///< with the operator
  double change = 0;      ///< relative, of the last product
};

/// lambda_max(J J^T S), J = the Jacobian of the rows at w, by power iteration in the inner product
/// of S, in which the operator is symmetric: Rayleigh quotient |J^T S u|^2/(u.S u). Stops when it
/// changes by less than `tolerance`. Each product: one gradient, one directional derivative, one
/// all-reduce of p and two of k c numbers. A start that is random and the same for every number of
/// ranks. Allocates p + 3 c m. Collective.
template <class T>
Bound largest_eigenvalue(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, std::uint64_t seed,
                         double tolerance = 1e-3, int most = 100);

}  // namespace mercer::train
