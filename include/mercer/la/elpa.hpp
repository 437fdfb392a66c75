#pragma once

#include <string>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"

namespace mercer::la {

/// What the ELPA library that was linked can do; found out by asking and, for single precision, by
/// solving a small problem (Debian's build links the float functions and returns -13).
struct ElpaBuild {
  std::string version;          ///< pkg-config's when Mercer was configured, and the interface's
  std::string default_kernel;   ///< name of the 2-stage back-transformation kernel ELPA would take
  bool generic_kernels = true;  ///< no vectorised kernel: 2-stage is slow
  bool single_precision = false;
};

/// Probed once per process, at the first call, on MPI_COMM_SELF. Local; after MPI_Init.
const ElpaBuild& elpa_build();

enum class ElpaStage { one = 1, two = 2 };

/// Whether ELPA can work on an n x n matrix with block size nb on this grid: no process row or
/// column may be empty, i.e. nb (max(p, q) - 1) < n (ELPA returns -13 otherwise). Local.
bool elpa_accepts(Index n, Index nb, dist::GridShape shape);

/// The lowest `count` eigenpairs of A, ascending (ELPA's nev means the lowest; solve -K for the
/// top). A has both triangles filled (with one, ELPA returns OK and nonsense) and is destroyed; V
/// has the shape and distribution of A, its first `count` columns are the eigenvectors; with
/// `vectors` = false only values come back. Collective over the grid's all() ranks; idle ranks get
/// the values. About 10/3 n^3 flops for all pairs. A gets noise of two units in the last place of
/// its largest entry first: without it ELPA's 2-stage solver returns OK and wrong eigenvalues for
/// matrices with proportional columns (many equal data points). Throws RunError with ELPA's own
/// words.
template <class T>
std::vector<double> elpa(dist::DistMatrix<T>&& A, dist::DistMatrix<T>& V, Index count,
                         ElpaStage stage, bool vectors = true);

}  // namespace mercer::la
