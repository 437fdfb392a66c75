#pragma once

#include "mercer/base/memory.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::plan {

/// The memory that each rank may hold in all, and what limits it. A rank may hold what it holds
/// already, and min(free memory of machine and control group / ranks on the node, what ulimit -v
/// and -d leave) more; the least over the ranks counts. The node's ranks are those of
/// MPI_COMM_WORLD (of `comm` before there is a comm::Environment). Collective, the same on all
/// ranks.
MemoryRoom memory_per_rank(const comm::Communicator& comm);
/// The same where `ranks` ranks share each node. Collective.
MemoryRoom memory_per_rank(const comm::Communicator& comm, int ranks);

/// Ranks of `comm` that share this rank's node. Collective.
int ranks_here(const comm::Communicator& comm);

}  // namespace mercer::plan
