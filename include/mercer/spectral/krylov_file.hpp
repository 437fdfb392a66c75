#pragma once

#include "mercer/io/hdf5.hpp"
#include "mercer/spectral/krylov.hpp"

namespace mercer::spectral {

/// Writes a state of krylov() on the operator's n rows: /krylov/numbers, /krylov/projection
/// (columns^2 numbers), /krylov/images0 (n x 16) and /krylov/basis0, basis1, ... (n x 64 each, the
/// last one narrower). Only the columns in use are written. Collective. Memory: 64 columns of this
/// rank's rows.
void write(io::Hdf5File& file, Index n, const KrylovState& state);

/// Reads what write() wrote, by rows over the file's communicator, to the bit. `sizes`: those of
/// the run that resumes from it, so that the matrices are allocated at their final size; without
/// them krylov() has to copy them into larger ones. Throws InputError where a dataset is missing,
/// of another shape or not finite, or where the counts are impossible. Collective. Memory: the
/// state and 64 columns of it.
KrylovState read_krylov_state(const io::Hdf5File& file, Index n, KrylovSizes sizes = {});

}  // namespace mercer::spectral
