#pragma once

#include "mercer/la/elpa.hpp"
#include "mercer/spectral/eigenpairs.hpp"

namespace mercer::spectral {

/// Where a backend works: K's own distribution, or one that it accepts.
struct Placement {
  dist::GridShape shape;
  Index nb = 1;
  std::string why;  ///< empty where K stays as it is
};

/// The distribution on which `method` solves an n x n problem that lies on `shape` with blocks of
/// nb. Local, pure.
Placement placement(Method method, Index n, Index nb, dist::GridShape shape);

/// Whether Method::scalapack takes p?syevx rather than p?syevd for `count` of n pairs: where few
/// are asked for and the workspace for a cluster of all of them, count x n on every rank, stays
/// below the matrix's own share. Local, pure.
bool takes_syevx(Index n, Index count, bool vectors, int ranks);

/// What a backend returns: the lowest `count` eigenvalues of A, ascending, and their vectors.
template <class T>
struct Lowest {
  std::vector<double> values;   ///< at least `count` of them: all n where they come for free
  dist::DistMatrix<T> vectors;  ///< n x k on A's grid with A's block size; n x 0 without vectors
};

/// The lowest `count` eigenvalues of A and the vectors of the lowest k of them. A is destroyed as
/// early as possible. Collective over all ranks of A's grid.
template <class T>
Lowest<T> solve_lowest(dist::DistMatrix<T>&& A, Index count, Index k, bool vectors, Method method,
                       const Placement& place);

}  // namespace mercer::spectral
