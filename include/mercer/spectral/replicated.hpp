#pragma once

#include <vector>

#include "mercer/base/matrix.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::spectral {

struct ReplicatedPairs {
  std::vector<double> values;  ///< ascending, the same bits on every rank
  Matrix<double> vectors;      ///< m x m on rank 0; empty on the others
};

/// All eigenpairs of a symmetric m x m matrix that every rank holds: the dense problems inside
/// block Krylov (Rayleigh-Ritz) and of low-rank preconditioners. Small ones are solved by LAPACK on
/// rank 0, from rank 0's T alone; others block-cyclically by the direct solver that the cost model
/// chooses, on as many of the ranks as have at least some 256 x 256 entries each. Collective. Cost:
/// some 5 m^3 flops over these ranks; memory: on rank 0 m^2 numbers for the vectors and two or
/// three times m^2 of workspace, on the others their shares; sent: m^2 numbers to rank 0. Throws
/// RunError on every rank where a solver fails or T is not finite.
ReplicatedPairs replicated_eigenpairs(const comm::Communicator& comm, MatrixView<const double> T);

/// On how many of `ranks` replicated_eigenpairs() works. Local, pure.
int replicated_ranks(Index m, int ranks);

}  // namespace mercer::spectral
