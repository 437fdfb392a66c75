#pragma once

#include "mercer/io/hdf5.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::spectral {

/// Writes a state of krylov() on the operator's n rows: /krylov/numbers, /krylov/projection
/// (columns^2 numbers), /krylov/images (n x 16) and /krylov/basis0, basis1, ... (n x 64 each, the
/// last one narrower). Collective. Bytes: those of the columns in use; memory: 64 columns of this
/// rank's rows.
void write(io::Hdf5File& file, Index n, const KrylovState& state);

/// What write() wrote, by rows over the file's communicator; every number to the bit. Throws
/// InputError where a dataset is missing, of another shape or not finite, and where the counts are
/// none that a run can have. Collective. Memory: the state and 64 columns of it.
/// `sizes`: those of the run that goes on, so that its matrices are allocated once; without them it
/// makes larger copies.
KrylovState read_krylov_state(const io::Hdf5File& file, Index n, KrylovSizes sizes = {});

}  // namespace mercer::spectral
