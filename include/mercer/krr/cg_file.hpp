#pragma once

#include "mercer/io/hdf5.hpp"
#include "mercer/krr/conjugate_gradients.hpp"

namespace mercer::krr {

/// Writes a state of conjugate_gradients() on n rows: /cg/numbers, /cg/history, /cg/S (r x c,
/// column by column) and the blocks /cg/X, /cg/Q and /cg/P by columns (io/columns_file.hpp).
/// Collective. Size: about 3 n c numbers.
void write(io::Hdf5File& file, Index n, const CgState& state);

/// Reads what write() wrote for `outputs` right-hand sides, every number to the bit; blocks by rows
/// over the file's communicator. Throws InputError where a dataset is missing, has another shape or
/// is not finite. Collective.
CgState read_cg_state(const io::Hdf5File& file, Index n, Index outputs);

}  // namespace mercer::krr
