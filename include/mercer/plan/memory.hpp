#pragma once

#include "mercer/base/memory.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::plan {

/// The memory that each rank may hold in all, and what limits it. The least, over the ranks, of
/// what the machine and the job's control group still leave, divided by the node's ranks of
/// MPI_COMM_WORLD (of `comm` alone before there is a comm::Environment), and of ulimit -v and -d;
/// plus what the rank holds already. Collective, the same on all ranks.
MemoryRoom memory_per_rank(const comm::Communicator& comm);
/// The same where `ranks` ranks share each node. Collective.
MemoryRoom memory_per_rank(const comm::Communicator& comm, int ranks);

/// Ranks of `comm` that share this rank's node. Collective.
int ranks_here(const comm::Communicator& comm);

}  // namespace mercer::plan
