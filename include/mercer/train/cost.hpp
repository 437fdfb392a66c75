#pragma once

#include "mercer/base/cost.hpp"
#include "mercer/net/network.hpp"
#include "mercer/train/descend.hpp"

/// What a descent takes, before anything is allocated. Pure and local. Notation: P = `ranks`; p
/// parameters; rows of d inputs and c outputs; S of k modes; w bytes a number of T = double or
/// float.
namespace mercer::train {

/// A step of descend() on `rows` rows over all ranks: net::gradient_cost(); S r, 4 k c flops a row,
/// at the same rate; a sum of w p bytes over the ranks.
template <class T>
Cost step_cost(const net::Network& network, Index rows, Index k, double ranks);
/// A product with J J^T S in largest_eigenvalue() for `rows` rows over all ranks:
/// net::derivatives_cost() and a sum of w p bytes. S is not counted.
template <class T>
Cost rate_cost(const net::Network& network, Index rows, double ranks);

/// Bytes of a RowSet with `rows` rows on this rank: w (d + c + k) a row.
template <class T>
double row_set_bytes(const net::Network& network, Index rows, Index k);
/// Bytes that descend() holds at its peak on a rank with `rows` rows (of the largest set), of
/// `all_rows` over all ranks: the evaluator, the gradient and its sum, the vectors of safeguard and
/// momentum, the residuals, buffers of a batch, and those for lambda_max; not the sets, w and w_0.
template <class T>
double descend_bytes(const net::Network& network, Index rows, Index all_rows, Index k,
                     const Options& options, double memory = 1e9);

}  // namespace mercer::train
