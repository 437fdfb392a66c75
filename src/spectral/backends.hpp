#pragma once

#include "mercer/la/elpa.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::spectral {

/// The distribution on which a solver works: K's own, or another one that it accepts.
struct Placement {
  dist::GridShape shape;
  Index nb = 1;
  std::string why;  ///< why K is redistributed; empty where it is not
};

/// The distribution on which `method` solves an n x n problem that is distributed over `shape` with
/// blocks of nb. Local, pure.
Placement placement(Method method, Index n, Index nb, dist::GridShape shape);

/// Whether Method::scalapack uses p?syevx rather than p?syevd for `count` of n pairs: yes where
/// count <= n/8 and the workspace for one cluster of all of them, count x n on every rank, is at
/// most a rank's share of the matrix. Local, pure.
bool takes_syevx(Index n, Index count, bool vectors, int ranks);

/// The result of a solver: the lowest `count` eigenvalues of A, ascending, and the vectors of the
/// lowest k of them.
template <class T>
struct Lowest {
  std::vector<double> values;   ///< `count` of them, or all n where the solver computes all
  dist::DistMatrix<T> vectors;  ///< n x k on A's grid with A's block size; n x 0 without vectors
};

/// The lowest `count` eigenvalues of A and the vectors of the lowest k of them, on A's grid, solved
/// on the distribution `place`. A is freed as early as possible. Collective over all ranks of A's
/// grid.
template <class T>
Lowest<T> solve_lowest(dist::DistMatrix<T>&& A, Index count, Index k, bool vectors, Method method,
                       const Placement& place);

}  // namespace mercer::spectral
