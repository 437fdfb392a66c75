#pragma once

#include <cstdint>
#include <span>

#include "mercer/net/network.hpp"
#include "mercer/train/row_set.hpp"

namespace mercer::train {

/// Products that plans expect of largest_eigenvalue() at its default tolerance. Each has the flops
/// of 4/3 steps; on 60 000 images of MNIST they took as long as 18 steps without S, 30 with it.
inline constexpr int kUsualProducts = 15;

struct Bound {
  double lambda_max = 0;  ///< of J J^T S, a lower bound
  int products = 0;       ///< with J J^T S
  double change = 0;      ///< relative change of lambda_max by the last product
};

/// lambda_max(J J^T S), J the Jacobian of the rows at w, by the Lanczos recursion in the inner
/// product of S, in which the operator is symmetric (power iteration takes several times the
/// products where S makes the top of the spectrum flat). Not above lambda_max except by rounding.
/// Stops after two relative changes of at most tolerance/10, or after `most` products. A product
/// takes one gradient, one directional derivative, and all-reduces of p and of k c + 1 numbers. The
/// start vector is random, by `seed`, and the same for every number of ranks. Allocates p + 3 c m
/// elements. Throws RunError where a gradient is not finite. Collective.
template <class T>
Bound largest_eigenvalue(const comm::Communicator& comm, net::Evaluator<T>& evaluator,
                         std::span<const T> w, const RowSet<T>& rows, std::uint64_t seed,
                         double tolerance = 1e-3, int most = 100);

}  // namespace mercer::train
