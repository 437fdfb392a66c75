#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

#include "mercer/comm/same.hpp"

namespace mercer::report {

/// The libraries of this program, each by the name that it gives itself at run time (ScaLAPACK and
/// the release of ELPA: that of pkg-config when Mercer was configured): mpi, blas, blas_kernel,
/// lapack, scalapack, elpa, elpa_kernel, elpa_single_precision, hdf5, compiler, compiler_flags; and
/// of the machine: processor, and tile_loops, the instruction set of Mercer's own loops. Local,
/// after MPI_Init (the first call probes ELPA).
nlohmann::ordered_json libraries();

/// The same as lines, each a name and a value.
std::string libraries_text(const nlohmann::ordered_json& libraries);
/// The same in one line for a log: processor, tile loops, BLAS, ELPA, MPI.
std::string libraries_line(const nlohmann::ordered_json& libraries);

/// What to change where BLAS computes without AVX on a processor that has it, several times as
/// slowly as it could: OpenBLAS takes its oldest kernels for a processor that is newer than itself.
/// Empty where that is not so, or where OPENBLAS_CORETYPE asks for those kernels. Local.
std::string blas_advice(const nlohmann::ordered_json& libraries);

/// The environment variables that choose code paths in BLAS, ELPA and glibc, sorted by name. Local.
std::vector<comm::Fact> environment();

/// Throws InputError on all ranks, naming what differs, unless all have the same libraries(), the
/// processor's name apart, and the same instruction sets: every rank keeps replicas (of a network,
/// of a projected matrix), which stay equal to the bit only where all compute alike. Collective.
void require_same_machine(const comm::Communicator& comm, const nlohmann::ordered_json& libraries);

}  // namespace mercer::report
