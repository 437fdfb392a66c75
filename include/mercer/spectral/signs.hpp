#pragma once

#include "mercer/dist/dist_matrix.hpp"

/// The sign of an eigenvector: v and -v are equally right, and which one a solver returns depends
/// on the solver, the block size and the number of ranks. Mercer's rule, for every vector that it
/// returns: among the entries whose modulus is within 1e-3 (relative) of the largest, the one of
/// lowest row is positive.
///
/// The rule makes vectors of simple eigenvalues the same for every solver and layout, to
/// residual/gap. A basis of equal (or nearly equal) eigenvalues keeps its freedom: any rotation of
/// it is as right, and only the space that it spans can be compared.
namespace mercer::spectral {

/// Flips the columns of V (n x k) that break the rule; the same columns on every rank. A column
/// that is zero or not finite stays. No communication of V: per column two numbers are reduced over
/// a process column. Collective over the grid's all() ranks. 2 n k comparisons.
template <class T>
void fix_signs(dist::DistMatrix<T>& V);

/// The same for a block kept by rows: this rank's rows of V, `first_row` being the index of its
/// first. Collective over `comm`.
void fix_signs(const comm::Communicator& comm, Index first_row, MatrixView<double> V);

}  // namespace mercer::spectral
