#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace mercer::drivers {

/// What this program is made with, each as it names itself when the program runs (ScaLAPACK and the
/// release of ELPA: as pkg-config gave it when Mercer was configured): mpi, blas, blas_kernel,
/// lapack, scalapack, elpa, elpa_kernel, elpa_single_precision, hdf5, compiler, compiler_flags, and
/// of the machine processor and tile_loops, the instruction set of Mercer's own loops. Collective
/// over MPI_COMM_WORLD at the first call (ELPA is probed).
nlohmann::ordered_json libraries();

/// The same as lines for --version, a name and what it is.
std::string libraries_text(const nlohmann::ordered_json& libraries);
/// The same in one line for a log: processor, tile loops, BLAS, ELPA, MPI.
std::string libraries_line(const nlohmann::ordered_json& libraries);

}  // namespace mercer::drivers
