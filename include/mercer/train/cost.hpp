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
/// What S on the parameters adds to a step: Psi, `entries` (most_entries()) times k numbers of a
/// rank, is read twice, and k numbers are summed over the ranks.
template <class T>
Cost parameter_step_cost(double entries, Index k, double ranks);
/// Making it (parameter_preconditioner()), for `rows` rows over all ranks of which the pairs are,
/// and as many others: k times a gradient, its sum, and a forward pass; k^2 p flops for Psi^T Psi
/// and as many for Psi R^-1.
template <class T>
Cost parameter_cost(const net::Network& network, double entries, Index rows, Index k, double ranks);
/// Bytes of Psi and its buffers on a rank.
template <class T>
double parameter_bytes(double entries, Index k);
/// Bytes that parameter_preconditioner() holds beside them, with `rows` rows on this rank.
template <class T>
double parameter_workspace_bytes(const net::Network& network, Index rows, Index k,
                                 double memory = 1e9);

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
