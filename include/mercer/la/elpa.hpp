#pragma once

#include <string>
#include <vector>

#include "mercer/dist/dist_matrix.hpp"

namespace mercer::la {

/// What the linked ELPA library can do: as ELPA reports it and, for single precision, by solving a
/// small problem (Debian's build links the float functions, but they return -13).
struct ElpaBuild {
  std::string version;          ///< pkg-config's when Mercer was configured, and the API version
  std::string default_kernel;   ///< name of ELPA's default 2-stage back-transformation kernel
  bool generic_kernels = true;  ///< no vectorised kernel: 2-stage is slow
  bool single_precision = false;
};

/// Probed once per process, at the first call, on MPI_COMM_SELF. Local; after MPI_Init. Throws
/// RunError where ELPA does not start.
const ElpaBuild& elpa_build();

enum class ElpaStage { one = 1, two = 2 };

/// Whether ELPA can work on an n x n matrix with block size nb on this grid: no process row or
/// column may be empty, i.e. nb (max(p, q) - 1) < n (ELPA returns -13 otherwise). Local.
bool elpa_accepts(Index n, Index nb, dist::GridShape shape);

/// The lowest `count` eigenpairs of the symmetric n x n A, ascending (ELPA's nev counts from the
/// lowest; solve -K for the top). A must have both triangles filled (with one, ELPA returns OK and
/// wrong results) and is destroyed. V has the shape and distribution of A; its first `count`
/// columns become the eigenvectors. With `vectors` = false V is not used. Returns the `count`
/// values on all ranks, idle ones included. Collective over the grid's all() ranks. About 10/3 n^3
/// flops for all pairs.
///
/// First adds symmetric noise of at most 2 epsilon max |A_ij| to every entry of A: without it
/// ELPA's 2-stage solver returns OK and wrong eigenvalues for matrices with proportional columns
/// (many equal data points). Throws InputError (shapes, a grid that elpa_accepts() refuses) and
/// RunError with ELPA's own message.
template <class T>
std::vector<double> elpa(dist::DistMatrix<T>&& A, dist::DistMatrix<T>& V, Index count,
                         ElpaStage stage, bool vectors = true);

}  // namespace mercer::la
