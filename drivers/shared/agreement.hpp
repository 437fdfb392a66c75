#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

#include "mercer/comm/communicator.hpp"

namespace mercer::drivers {

// mpirun can start ranks with other options, environments, working directories and programs
// (`mpirun -n 1 A : -n 1 B`, a --config on local disks, nodes of two kinds). What decides the
// result has to be the same on all; each of these throws InputError on all ranks that names what
// differs. Collective.

/// Options by name and value, the program and its commit, and the environment that decides how
/// BLAS, ELPA and glibc compute.
void require_same_options(const comm::Communicator& comm, const std::string& program,
                          const std::vector<std::pair<std::string, std::string>>& options);

/// The contents of the files that every rank opens for itself, and the folder of those that every
/// rank writes to. `reads`, `writes`: option and value. Files that are one file (number, size, time
/// of change) on all ranks are not read, others are, once, on every rank. What rank 0 alone reads
/// (CSV, libsvm, anything compressed) may be absent elsewhere.
void require_same_files(const comm::Communicator& comm,
                        const std::vector<std::pair<std::string, std::string>>& reads,
                        const std::vector<std::pair<std::string, std::string>>& writes);

/// Libraries (libraries()), BLAS kernel and instruction sets: every rank keeps replicas, of a
/// network or of a projected matrix, which stay the same to the bit only where all compute alike.
void require_same_machine(const comm::Communicator& comm, const nlohmann::ordered_json& libraries);

}  // namespace mercer::drivers
