#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "mercer/comm/same.hpp"

namespace mercer::report {

/// What this program is made with, each as it names itself when the program runs (ScaLAPACK and the
/// release of ELPA: as pkg-config gave it when Mercer was configured): mpi, blas, blas_kernel,
/// lapack, scalapack, elpa, elpa_kernel, elpa_single_precision, hdf5, compiler, compiler_flags, and
/// of the machine processor and tile_loops, the instruction set of Mercer's own loops. Local, after
/// MPI_Init (ELPA is probed at the first call).
nlohmann::ordered_json libraries();

/// The same as lines for --version, a name and what it is.
std::string libraries_text(const nlohmann::ordered_json& libraries);
/// The same in one line for a log: processor, tile loops, BLAS, ELPA, MPI.
std::string libraries_line(const nlohmann::ordered_json& libraries);

/// What the environment says of how BLAS, ELPA and glibc compute, by name. Local.
std::vector<comm::Fact> environment();

/// Libraries, BLAS kernel and instruction sets: every rank keeps replicas, of a network or of a
/// projected matrix, which stay the same to the bit only where all compute alike. Throws InputError
/// on all ranks that names what differs. Collective.
void require_same_machine(const comm::Communicator& comm, const nlohmann::ordered_json& libraries);

}  // namespace mercer::report
