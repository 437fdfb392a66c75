#pragma once

#include "mercer/dist/dist_matrix.hpp"

/// The sign of an eigenvector: v and -v are equally right, and which one a solver returns depends
/// on the solver, the block size and the number of ranks. Mercer's rule, for every vector that it
/// returns: among the entries whose modulus is within 1e-3 (relative) of the largest, the one of
/// lowest row is positive.
///
/// With this rule the vectors of simple eigenvalues are the same for every solver and layout, to
/// residual/gap. For equal (or nearly equal) eigenvalues any rotation of the basis is as right:
/// only the spaces can be compared.
namespace mercer::spectral {

/// Flips the columns of V (n x k) that break the rule, the same ones on every rank. A zero column
/// stays. Only two numbers per column are reduced over each process column. Collective over the
/// grid's all() ranks. 2 n k comparisons.
template <class T>
void fix_signs(dist::DistMatrix<T>& V);

/// The same for a block distributed by rows: V holds this rank's rows, the first of which has the
/// global index `first_row`. Collective over `comm`.
void fix_signs(const comm::Communicator& comm, Index first_row, MatrixView<double> V);

}  // namespace mercer::spectral
